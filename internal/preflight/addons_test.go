package preflight

func addonCases() []ruleCase { return nil }
