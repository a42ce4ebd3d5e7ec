package guests

import (
	"strings"
	"testing"
)

// valueCases says of settings whether they are refused.
var valueCases = map[string]bool{
	"vnuma=[['pnode=0','size=64','vcpus=0'],['size=32','vcpus=1-2','vdistances=20,10']]; maxmem=96; maxvcpus=3": false,
	"vnuma=[['pnode=0','size=64','vcpus=0']]; maxmem=96; maxvcpus=1":                                            true,
	"vnuma=[['pnode=0','size=96','vcpus=0']]; maxmem=96; maxvcpus=2":                                            true,
	"vnuma=['pnode=0']":                             true,
	"vnuma=[['pnode=x','vcpus=0']]":                 true,
	"vnuma=[['pnode','vcpus=0']]":                   true,
	"vnuma=[]":                                      false,
	"uuid='6BA7B810-9dad-11d1-80b4-00c04fd430c8'":   false,
	"uuid='6ba7b810-9dad-11d1-80b4'":                true,
	"uuid='{6ba7b810-9dad-11d1-80b4-00c04fd430c8}'": true,
	"uuid=''":                             true,
	"on_poweroff='preserve'":              false,
	"on_reboot='Restart'":                 true,
	"on_watchdog=''":                      true,
	"on_soft_reset='soft-reset'":          false,
	"on_crash='soft_reset'":               true,
	"cpus='0-3,^1'":                       false,
	"cpus='0, 2- 3, nodes:1'":             true,
	"cpus='0, 2- 3'":                      false,
	"irqs=[' 5']":                         false,
	"iomem=['fee00, 1@ f0']":              false,
	"cpus=3":                              false,
	"cpus=['0','nodes:1','all']; vcpus=3": false,
	"cpus='node:0,^node:1,7'":             false,
	"cpus='3-1'":                          true,
	"cpus='^all'":                         true,
	"cpus='0-'":                           true,
	"cpus='a'":                            true,
	"cpus_soft=['x']; vcpus=2":            true,
	"pci=['03:00.0']; type='pv'":          false,
	"pci=['0000:03:1f.7@1f,permissive=1,seize=1']": false,
	"pci=['bdf=03:00.*,rdm_policy=relaxed']":       false,
	"pci=['name=nic']":                             false,
	"pci=['3.0']":                                  true,
	"pci=['03:20.0']":                              true,
	"pci=['03:00.8']":                              true,
	"pci=['03:00.0,name=nic']":                     true,
	"pci=['03:00.0,fast=1']":                       true,
	"pci=['']":                                     true,
	"pci='03:00.0'":                                true,
	"tsc_mode='Native'":                            false,
	"tsc_mode=3":                                   false,
	"tsc_mode=4":                                   true,
	"tsc_mode='fast'":                              true,
	"type='pvh'; timer_mode='one_missed_tick_pending'": false,
	"type='pvh'; timer_mode='x'":                       true,
	"altp2m='limited'":                                 false,
	"altp2m=4":                                         true,
	"passthrough='share_pt'":                           false,
	"passthrough='yes'":                                true,
	"device_model_version='qemu-xen'":                  false,
	"device_model_version='qemu'":                      true,
	"irqs=[5,'11']":                                    false,
	"irqs=['0x5']":                                     true,
	"ioports=['3f8','2f8-2ff']":                        false,
	"ioports=['com1']":                                 true,
	"iomem=['fee00,1','fee01,2@f0000']":                false,
	"iomem=['fee00']":                                  true,
	"llc_colors=['0-3',7]":                             false,
	"llc_colors=['3-0']":                               true,
	"max_grant_frames=64":                              false,
	"max_grant_frames='-1'":                            true,
	"max_maptrack_frames='many'":                       true,
	"vuart='sbsa_uart'; gic_version='v3'; tee='optee'": false,
	"vuart='uart0'":                                    true,
}

// TestValues pins which values are taken; TestXL compares with xl itself where it is there.
func TestValues(t *testing.T) {
	for setting, refused := range valueCases {
		guest := guestWith(t, "kernel='vmlinuz'\n"+setting)
		_, err := guest.Resolve(machine(guest))
		if (err != nil) != refused {
			t.Errorf("%s: got %v, want it refused: %t", setting, err, refused)
		}
		if err != nil && !strings.Contains(err.Error(), "g.cfg:2:") {
			t.Errorf("%s: no place: %v", setting, err)
		}
	}
}
