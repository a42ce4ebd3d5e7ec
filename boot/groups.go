package boot

// Groups are the groups of the running system and their numbers: those of Debian's base-passwd, and from 101 on those
// that Debian numbers as they come. init gives device nodes to them.
var Groups = map[string]int{
	"root": 0, "tty": 5, "disk": 6, "lp": 7, "kmem": 15, "dialout": 20,
	"cdrom": 24, "tape": 26, "audio": 29, "video": 44, "input": 101, "kvm": 102, "render": 103,
}
