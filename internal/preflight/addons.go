package preflight

func addonRules() []Rule { return nil }
