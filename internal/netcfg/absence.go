package netcfg

import (
	"errors"
	"fmt"
	"strings"
)

// reportAbsence says once that no NIC is in use, and why.
func (u *uplink) reportAbsence(nics []NIC) {
	if u.nic.Index != 0 || u.want.NIC == NoNIC {
		u.nics.absence = ""
		return
	}
	if !u.m.isOver(u.settled()) {
		return
	}
	err := u.whyNoNIC(nics)
	if err.Error() != u.nics.absence {
		u.nics.absence = err.Error()
		u.event(Event{Kind: EventNoNIC, Err: err})
	}
}

func (u *uplink) whyNoNIC(nics []NIC) error {
	if u.want.NIC != AutoNIC && len(nics) == 0 {
		return u.whyNotNamed()
	}
	if len(nics) == 0 {
		return errNoNIC
	}
	var reasons, silent []string
	for _, nic := range nics {
		if problem := u.m.said[u.want.key()+": "+settingUp+nic.Name]; problem != "" {
			reasons = append(reasons, problem+", dmesg may say why")
		} else {
			silent = append(silent, nic.Name)
		}
	}
	if len(silent) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s: %v", strings.Join(silent, ", "), errNoCarrier))
	}
	return errors.New(strings.Join(reasons, "; "))
}

// whyNotNamed names the NICs that there are, for somebody who has named another one.
func (u *uplink) whyNotNamed() error {
	var there []string
	for _, link := range u.m.links {
		if isWired(u.m.options.Sys, link.Attrs().Name) {
			there = append(there, link.Attrs().Name)
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("%s has not appeared yet", u.want.NIC)
	}
	return fmt.Errorf("%s has not appeared yet; there are %s", u.want.NIC, strings.Join(there, ", "))
}
