package preflight

func startupCases() []ruleCase { return nil }
