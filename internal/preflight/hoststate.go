package preflight

func hostStateRules() []Rule { return nil }
