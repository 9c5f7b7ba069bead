package preflight

func objectCases() []ruleCase { return nil }
