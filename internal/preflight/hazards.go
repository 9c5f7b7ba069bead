package preflight

func hazardRules() []Rule { return nil }
