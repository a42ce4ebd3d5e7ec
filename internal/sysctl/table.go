package sysctl

// Table is what dom0 wants. An asterisk stands for "all", which counts for the interfaces that are there, and for
// "default", which later ones begin with: so the table is set before there are any.
//
// What is not here is as the kernel has it, on purpose: kernel.modules_disabled would end hotplug,
// net.ipv4.ip_forward belongs to private networks, and each bridge's accept_ra to netcfg.
var Table = []Setting{
	{"kernel.kptr_restrict", "2", "no kernel addresses in files, nor in a report that is sent away"},
	{"kernel.dmesg_restrict", "1", "daemons without capabilities cannot read the kernel's messages"},
	{"kernel.unprivileged_bpf_disabled", "1", "they cannot load BPF programs"},
	{"kernel.perf_event_paranoid", "3", "they cannot measure the kernel"},
	{"kernel.yama.ptrace_scope", "2", "they cannot look into other processes"},
	{"kernel.io_uring_disabled", "1", "they cannot make io_urings, where most recent faults of Linux were"},
	{"user.max_user_namespaces", "0", "nobody gets capabilities in a user namespace; nothing here needs one"},
	{"dev.tty.ldisc_autoload", "0", "nobody loads drivers by way of a terminal"},
	{"dev.tty.legacy_tiocsti", "0", "no program types for another one on the terminal that both have"},
	{"kernel.kexec_load_disabled", "1", "no other kernel takes this one's place"},
	{"kernel.core_pattern", "/dev/null", "no core dumps: memory has secrets, and RAM is all the room there is"},
	{"fs.suid_dumpable", "0", "the same for programs that change their rights"},
	{"fs.protected_hardlinks", "1", "no hard links to somebody else's files"},
	{"fs.protected_symlinks", "1", "symbolic links in /tmp lead nobody else astray"},
	{"fs.protected_fifos", "2", "nobody takes a pipe in /tmp for a file of his own"},
	{"fs.protected_regular", "2", "nobody takes a file in /tmp for one of his own"},
	{"net.ipv4.tcp_syncookies", "1", "a flood of connections does not shut SSH"},
	{"net.ipv4.tcp_rfc1337", "1", "a late reset does not end a new connection"},
	{"net.ipv4.icmp_echo_ignore_broadcasts", "1", "dom0 does not multiply pings"},
	{"net.ipv4.icmp_ignore_bogus_error_responses", "1", "a broken router does not fill the log"},
	{"net.ipv4.conf.*.accept_redirects", "0", "nobody moves dom0's routes"},
	{"net.ipv4.conf.*.secure_redirects", "0", "not even a router: whoever answers its ARP is one"},
	{"net.ipv4.conf.*.send_redirects", "0", "guests in a private network find each other without"},
	{"net.ipv4.conf.*.accept_source_route", "0", "nobody chooses the way of a packet"},
	{"net.ipv4.conf.*.rp_filter", "2", "no packets from where no route leads. " +
		"1 would silence one of two network cards in the same LAN"},
	{"net.ipv4.conf.*.arp_ignore", "1", "on a bridge, dom0 does not answer for its addresses on others"},
	{"net.ipv4.conf.*.arp_announce", "2", "nor does it ask with them"},
	{"net.ipv4.neigh.default.gc_thresh1", "1024", "so many neighbours stay known"},
	{"net.ipv4.neigh.default.gc_thresh2", "4096", "beyond that those go that were not used for 5 s"},
	{"net.ipv4.neigh.default.gc_thresh3", "8192", "beyond that none comes: " +
		"more than 50 guests' rules let through in 5 s"},
	{"net.ipv6.neigh.default.gc_thresh1", "1024", "as for IPv4"},
	{"net.ipv6.neigh.default.gc_thresh2", "4096", "the same"},
	{"net.ipv6.neigh.default.gc_thresh3", "8192", "the same"},
	{"net.ipv6.conf.*.accept_redirects", "0", "as for IPv4"},
	{"net.ipv6.conf.*.accept_source_route", "-1", "as for IPv4"},
	{"net.ipv6.conf.default.accept_ra", "0", "netcfg listens to routers itself; the kernel would believe guests"},
	{"net.ipv6.conf.default.autoconf", "0", "the same"},
}
