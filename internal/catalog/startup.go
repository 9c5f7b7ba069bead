package catalog

func (c *Catalog) loadStartup() error { return nil }
