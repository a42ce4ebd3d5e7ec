package ublk

import "unsafe"

// From linux/ublk_cmd.h of Linux 6.12.

// Control commands, _IOWR('u', NUMBER, struct ublksrv_ctrl_cmd) as a rule.
const (
	cmdAddDev            = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x04
	cmdDelDev            = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x05
	cmdStartDev          = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x06
	cmdStopDev           = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x07
	cmdSetParams         = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x08
	cmdStartUserRecovery = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x10
	cmdEndUserRecovery   = ioReadWrite | ctrlCmdBytes<<16 | 'u'<<8 | 0x11
	cmdDelDevAsync       = ioRead | ctrlCmdBytes<<16 | 'u'<<8 | 0x14 // it does not wait until nobody has it open

	ctrlCmdBytes = 32
)

// Commands of a queue, _IOWR('u', NUMBER, struct ublksrv_io_cmd).
const (
	ioFetchReq          = ioReadWrite | ioCmdBytes<<16 | 'u'<<8 | 0x20
	ioCommitAndFetchReq = ioReadWrite | ioCmdBytes<<16 | 'u'<<8 | 0x21

	ioCmdBytes = 16
)

const (
	ioRead      = 2 << 30
	ioReadWrite = 3 << 30
)

// Features of a device.
const (
	flagUserRecovery        = 1 << 3
	flagUserRecoveryReissue = 1 << 4
	flagCmdIoctlEncode      = 1 << 6
)

// Operations of a request, the low byte of ioDesc.opFlags.
const (
	opRead        = 0
	opWrite       = 1
	opFlush       = 2
	opDiscard     = 3
	opWriteZeroes = 5
)

// Kinds of parameters, and attributes of the basic ones.
const (
	paramBasic   = 1 << 0
	paramDiscard = 1 << 1

	attrReadOnly = 1 << 0
)

// maxQueueDepth is how many requests a queue may have; each queue's descriptors are mapped as if it had that many.
const maxQueueDepth = 4096

// newID asks for any free number.
const newID = ^uint32(0)

// ctrlCmd is struct ublksrv_ctrl_cmd.
type ctrlCmd struct {
	devID         uint32
	queueID       uint16
	length        uint16
	addr          uint64
	data          uint64
	devPathLength uint16
	_             uint16
	_             uint32
}

// devInfo is struct ublksrv_ctrl_dev_info.
type devInfo struct {
	queues, depth, state, _ uint16
	maxIOBytes              uint32
	devID                   uint32
	pid                     int32
	_                       uint32
	flags, serverFlags      uint64
	uid, gid                uint32
	_, _                    uint64
}

// ioDesc is struct ublksrv_io_desc, a request.
type ioDesc struct {
	opFlags, sectors  uint32
	startSector, addr uint64
}

// ioCmd is struct ublksrv_io_cmd.
type ioCmd struct {
	queue, tag uint16
	result     int32
	addr       uint64
}

// params is struct ublk_params without what follows the kinds of parameters that are set here.
type params struct {
	length, kinds uint32

	// struct ublk_param_basic
	attributes                                      uint32
	logicalShift, physicalShift, optShift, minShift uint8
	maxSectors, chunkSectors                        uint32
	sectors, virtBoundaryMask                       uint64

	// struct ublk_param_discard
	discardAlignment, discardGranularity     uint32
	maxDiscardSectors, maxWriteZeroesSectors uint32
	maxDiscardSegments, _                    uint16
	_                                        uint32
}

const _ = -(unsafe.Sizeof(ctrlCmd{}) ^ ctrlCmdBytes | unsafe.Sizeof(ioCmd{}) ^ ioCmdBytes |
	unsafe.Sizeof(devInfo{}) ^ 64 | unsafe.Sizeof(ioDesc{}) ^ 24) // does not compile where a size is wrong
