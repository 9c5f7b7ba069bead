package catalog

func (c *Catalog) loadHazards() error { return nil }
