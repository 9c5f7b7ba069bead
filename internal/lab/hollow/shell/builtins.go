package shell

// builtins are the programs that every host has.
func builtins() map[string]Program {
	return map[string]Program{
		"sh": sh, "true": always(0), "false": always(1), ":": always(0), "test": condition, "[": condition,
		"echo": echo, "printf": printf, "pwd": pwd, "type": typeOf, "which": which, commandV: which,
		"env": env, "timeout": timeout, "setsid": setsid, "nohup": setsid, "nice": nice, "xargs": xargs, "flock": flock,
		"sleep": sleep, "date": date, "id": id, "uname": uname, "hostname": hostname, "nproc": nproc, "sync": syncFiles,
		"cat": cat, "tee": tee, "head": head, "tail": tail, "wc": wc, "cut": cut, "tr": tr, "sort": sorted, "uniq": uniq,
		"sed": sed, "grep": grep, "awk": awk, "mawk": awk, "gawk": awk,
		"sha256sum": sha256sum, "base64": base64Program, "cmp": cmp, "dd": dd,
		"tar": tarProgram, "gzip": gzipProgram,
		"ls": ls, "stat": stat, "find": find, "df": df, "readlink": readlink, "realpath": realpath,
		"dirname": dirname, "basename": basename,
		"cp": cp, "mv": mv, "rm": rm, "rmdir": rmdir, "mkdir": mkdir, "mktemp": mktemp, "install": install,
		"ln": ln, "touch": touch, "chmod": chmod, "chown": chown, "chgrp": chown,
	}
}
