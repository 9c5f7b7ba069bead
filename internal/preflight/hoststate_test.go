package preflight

func hostStateCases() []ruleCase { return nil }
