package ssh

// Break closes the connection as an unanswered keepalive does.
func (h *Host) Break() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.drop()
}

// Alone gives the configuration without what it shares with others.
func (c Config) Alone() Config {
	c.shared = nil
	return c
}
