package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Machine is what a URL may have of the machine: ${mac}, ${uuid}, ${serial} and ${hostname}, as iPXE calls them.
type Machine struct {
	MAC      string // of the NIC with the address, in lower case with colons
	UUID     string // SMBIOS type 1
	Serial   string // the same
	Hostname string
}

// placeholder is ${NAME}, or {NAME}: GRUB puts its own variable in the place of the first.
var placeholder = regexp.MustCompile(`\$?\{([^{}]*)\}`)

// Expand puts the machine into a URL. What the machine does not have is an error.
func Expand(text string, m Machine) (string, error) {
	values := map[string]string{"mac": m.MAC, "uuid": m.UUID, "serial": m.Serial, "hostname": m.Hostname}
	var failed error
	expanded := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name := strings.Trim(found, "${}")
		value, known := values[name]
		switch {
		case !known:
			failed = fmt.Errorf("there is no %s%s", found, suggest(name, sorted(values)))
		case value == "":
			failed = fmt.Errorf("this machine has no %s", name)
		}
		return url.PathEscape(value)
	})
	if failed == nil && strings.Contains(expanded, "$") {
		failed = fmt.Errorf("a $ stands for nothing; write ${mac}, ${uuid}, ${serial} or ${hostname}")
	}
	return expanded, failed
}
