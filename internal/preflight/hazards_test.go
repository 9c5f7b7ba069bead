package preflight

func hazardCases() []ruleCase { return nil }
