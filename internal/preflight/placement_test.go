package preflight

func placementCases() []ruleCase { return nil }
