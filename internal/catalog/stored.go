package catalog

func (c *Catalog) loadStored() error { return nil }
