package preflight

func admissionCases() []ruleCase { return nil }
