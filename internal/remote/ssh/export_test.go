package ssh

// Break closes the connection as an unanswered keepalive does.
func (h *Host) Break() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.drop()
}
