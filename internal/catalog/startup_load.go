package catalog

import "github.com/kup-project/kup/pkg/cluster"

func (c *Catalog) loadStartupFlags() error {
	const file = "startup_flags"
	var rows struct {
		Removed []struct {
			Component string            `json:"component"`
			In        cluster.Minor     `json:"in"`
			Flags     []string          `json:"flags"`
			Instead   map[string]string `json:"instead"`
			ByKubeadm *cluster.Minor    `json:"byKubeadm"`
			Source    string            `json:"source"`
		} `json:"removed"`
		Values   []FlagValues   `json:"values"`
		Required []RequiredFlag `json:"required"`
		Written  []struct {
			Component string   `json:"component"`
			Flags     []string `json:"flags"`
			Source    string   `json:"source"`
		} `json:"written"`
	}
	if err := read(file, &rows); err != nil {
		return err
	}
	c.startup.flags, c.startup.written = map[flagKey]LostFlag{}, map[flagKey]string{}
	c.startup.values, c.startup.required = rows.Values, rows.Required
	for _, row := range rows.Written {
		for _, flag := range row.Flags {
			if err := once(c.startup.written, file, flagKey{row.Component, flag}, row.Source); err != nil {
				return err
			}
		}
	}
	for _, row := range rows.Removed {
		of := []string{row.Component}
		if row.Component == "*" {
			of = components
		}
		for _, component := range of {
			for _, flag := range row.Flags {
				lost := LostFlag{Lost: Lost{row.In, row.Instead[flag], row.Source}}
				if row.ByKubeadm != nil {
					lost.ByKubeadm = *row.ByKubeadm
				}
				if err := once(c.startup.flags, file, flagKey{component, flag}, lost); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Catalog) loadStartupGates() error {
	const file = "startup_gates"
	var rows struct {
		Removed []struct {
			In     cluster.Minor `json:"in"`
			Gates  []string      `json:"gates"`
			Source string        `json:"source"`
		} `json:"removed"`
		Locked []struct {
			In       cluster.Minor `json:"in"`
			Enabled  []string      `json:"enabled"`
			Disabled []string      `json:"disabled"`
			Source   string        `json:"source"`
		} `json:"locked"`
	}
	if err := read(file, &rows); err != nil {
		return err
	}
	c.startup.gates, c.startup.locks = map[string]Lost{}, map[string]LockedGate{}
	for _, row := range rows.Removed {
		for _, gate := range row.Gates {
			if err := once(c.startup.gates, file, gate, Lost{In: row.In, Source: row.Source}); err != nil {
				return err
			}
		}
	}
	for _, row := range rows.Locked {
		for to, gates := range map[bool][]string{true: row.Enabled, false: row.Disabled} {
			for _, gate := range gates {
				if err := once(c.startup.locks, file, gate, LockedGate{row.In, to, row.Source}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Catalog) loadStartupVersions() error {
	const file = "startup_versions"
	type named struct {
		Lost
		Names []string `json:"names"`
	}
	var rows struct {
		Plugins       []named `json:"plugins"`
		GroupVersions []named `json:"groupVersions"`
		Files         []struct {
			LostFile
			Flag        string   `json:"flag"`
			APIVersions []string `json:"apiVersions"`
		} `json:"files"`
		Encryption   encryptionRows `json:"encryption"`
		KubeadmGates []struct {
			LostKubeadmGate
			Names []string `json:"names"`
		} `json:"kubeadmGates"`
	}
	if err := read(file, &rows); err != nil {
		return err
	}
	s := &c.startup
	s.plugins, s.groupVersions = map[string]Lost{}, map[string]Lost{}
	s.files, s.kubeadmGates = map[fileKey]LostFile{}, map[string]LostKubeadmGate{}
	s.encryption = rows.Encryption
	for into, from := range map[*map[string]Lost][]named{&s.plugins: rows.Plugins, &s.groupVersions: rows.GroupVersions} {
		for _, row := range from {
			for _, name := range row.Names {
				if err := once(*into, file, name, row.Lost); err != nil {
					return err
				}
			}
		}
	}
	for _, row := range rows.Files {
		for _, version := range row.APIVersions {
			if err := once(s.files, file, fileKey{row.Flag, version}, row.LostFile); err != nil {
				return err
			}
		}
	}
	for _, row := range rows.KubeadmGates {
		for _, name := range row.Names {
			if err := once(s.kubeadmGates, file, name, row.LostKubeadmGate); err != nil {
				return err
			}
		}
	}
	return nil
}
