package preflight

func admissionRules() []Rule { return nil }
