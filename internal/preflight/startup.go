package preflight

func startupRules() []Rule { return nil }
