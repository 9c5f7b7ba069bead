package preflight

func objectRules() []Rule { return nil }
