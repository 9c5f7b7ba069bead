package preflight

func storedCases() []ruleCase { return nil }
