# zerodisc: a live disc that boots a Xen host with guests running side by side.
#
#   make demo           build the disc and boot it in QEMU, console in this terminal
#   make test           every test, the booted ones included
#
# Variables (make demo MODE=uefi MEM=512):
#   MODE=bios|uefi      firmware of the demo machine                        (bios)
#   MEM=MiB             memory of the demo machine                          (1024)
#   ACCEL=auto|tcg|kvm  how QEMU runs it; auto takes KVM where it works     (auto)
#   ISO=FILE            the image                                           (build/zerodisc.iso)
#   NETBOOT=DIR         the netboot tree                                    (build/netboot)
#   SERVE=FLAGS         flags for mkiso serve: -interface NAME, -range FIRST-LAST (none)
#   MKISO=FLAGS         more flags for mkiso, see go run ./cmd/mkiso -h     (none)
#   VM=REGEXP           the booted tests to run                             (all)
#   FLAGS=FLAGS         more flags for vm-full: -update writes the table in docs/hardware.md (none)
#   MACHINES=COUNT      booted tests that run side by side                  (1)
#   N=RUNS              boots per figure of the benchmark                   (5)

MODE  ?= bios
MEM   ?= 1024
ACCEL ?= auto
ISO   ?= build/zerodisc.iso
NETBOOT ?= build/netboot
MKISO ?=
SERVE ?=
N     ?= 5
VM    ?= .
FLAGS ?=
MACHINES ?= 1

# Finds Go where PATH does not lead to one that is new enough.
GO := scripts/with-go go

.PHONY: demo setup iso netboot serve release unit vm vm-full test bench clean help

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile
	@echo 'Targets: demo setup iso netboot serve release unit vm vm-full test bench clean help'

# Every target that needs a prepared machine asks for setup, which does nothing on one.
demo: iso
	$(GO) run ./test/vm/run -iso '$(ISO)' -mode '$(MODE)' -mem '$(MEM)' -accel '$(ACCEL)'

setup:
	@scripts/setup.sh

# Always run: mkiso itself knows what has not changed.
iso: setup
	@mkdir -p '$(dir $(ISO))'
	$(GO) run ./cmd/mkiso -o '$(ISO)' $(MKISO)

# The image too: both are one build.
netboot: setup
	$(GO) run ./cmd/mkiso -o '$(ISO)' -netboot '$(NETBOOT)' $(MKISO)

# Boots the PCs next to this one from the network.
serve: netboot
	$(GO) build -o build/mkiso ./cmd/mkiso
	if [ "$$(id -u)" -eq 0 ]; then build/mkiso serve -dir '$(NETBOOT)' $(SERVE); else sudo build/mkiso serve -dir '$(NETBOOT)' $(SERVE); fi

# Everything that is published together, in build/release.
release: setup
	$(GO) run ./cmd/mkiso -o '$(ISO)' -netboot '$(NETBOOT)' -lock build/zerodisc.lock -release build/release $(MKISO)

unit: setup
	$(GO) vet ./...
	$(GO) test ./...

vm: netboot
	ZERODISC_ISO='$(abspath $(ISO))' ZERODISC_NETBOOT='$(abspath $(NETBOOT))' ACCEL='$(ACCEL)' $(GO) test -tags vm -parallel '$(MACHINES)' -timeout 60m -count=1 -v -run '$(VM)' ./test/vm

# Before a release: what is too dear for every change.
vm-full: netboot
	@scripts/setup.sh full
	ZERODISC_ISO='$(abspath $(ISO))' ZERODISC_NETBOOT='$(abspath $(NETBOOT))' ACCEL='$(ACCEL)' $(GO) test -tags 'vm full' -parallel '$(MACHINES)' -timeout 4h -count=1 -v -run '$(VM)' ./test/vm $(FLAGS)

# In this order also under make -j: the unit tests are quick, the booted ones are not.
test: setup
	$(MAKE) unit
	$(MAKE) vm

bench: iso
	$(GO) run ./test/bench -iso '$(ISO)' -accel '$(ACCEL)' -n '$(N)' -json build/bench.json
	$(GO) test -run - -bench Write -benchtime 9x ./internal/iso9660

# All that was built; what was downloaded (build/cache) stays.
clean:
	test ! -d build || find build -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} +
