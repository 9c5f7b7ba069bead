package catalog

func (c *Catalog) loadAddons() error { return nil }
