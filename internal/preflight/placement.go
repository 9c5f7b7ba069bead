package preflight

func placementRules() []Rule { return nil }
