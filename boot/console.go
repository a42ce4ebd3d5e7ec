package boot

// Names (the msg key) of the console lines that users' scripts and the system tests parse.
// docs/console.md says what keys each carries.
const (
	MsgInit          = "init"              // version= uptime_ms=
	MsgStage         = "stage"             // name= ms= [err=]
	MsgGuestRunning  = "guest running"     // guest= domid= [ms= type=]
	MsgGuestAddress  = "guest address"     // guest= address=
	MsgGuestRefused  = "guest refused"     // guest= file= err=
	MsgGuestWaiting  = "guest waiting"     // guest= file= err= remedy=
	MsgGuestStopped  = "guest stopped"     // guest= domid= [forced=]
	MsgGuestRestarts = "guest restarts"    // guest= err=
	MsgGuestDisk     = "guest disk"        // guest= disk= target= format= [budget=]
	MsgGuestDiskFull = "guest disk full"   // guest= disks= budget= remedy=
	MsgGuestFlood    = "guest flood"       // guest= what= err= remedy=
	MsgGuestStore    = "guest store"       // url= state= and what the state has
	MsgStorage       = "storage"           // device= type= [label= mount= guests= err= remedy=]
	MsgStorageGone   = "storage removed"   // device= [guests= remedy=]
	MsgVolumes       = "volumes"           // err=
	MsgState         = "state"             // device= [uuid= mount= free= guests= err= remedy=]
	MsgNetStorage    = "network storage"   // url= state= [version= device= mount= guests= err= remedy=]
	MsgReady         = "ready"             // guests= ms=
	MsgHostAddress   = "host address"      // interface= address= gateway=
	MsgNoLease       = "no DHCP lease"     // interface= nic= err=
	MsgLeaseLost     = "DHCP lease lost"   // interface= nic= err=
	MsgNoNIC         = "no network card"   // interface= err= remedy=
	MsgMedium        = "boot medium"       // device= [file=] mount=
	MsgMediumChecked = "medium checked"    // files= damaged= unlisted= bytes= ms=
	MsgFileDamaged   = "file damaged"      // file= err=
	MsgDaemon        = "daemon"            // name= state= pid= err=
	MsgOutOfMemory   = "out of memory"     // killed= pid= remedy=
	MsgFileSystem    = "file system"       // dir= state= size= [remedy=]
	MsgWrongPassword = "wrong password"    // terminal=
	MsgEnding        = "ending"            // action=
	MsgCrashed       = "init crashed"      // remedy=
	MsgResumed       = "init runs again"   // guests=
	MsgHostAddress6  = "host IPv6 address" // interface= nic= address= [gateway=] by=
	MsgNetwork       = "network"           // interface= state= [nic= address= by= tried= err= remedy=]
	MsgRules         = "network rules"     // state= err= [by= remedy=]
	MsgPrivateNet    = "private network"   // bridge= state= [address=]
	MsgTime          = "time"              // state= and what the state has
	MsgSyslog        = "syslog"            // url= state= [lost= err=]
	MsgAPI           = "api"               // err= remedy=
	MsgWatchdog      = "watchdog"          // device= name= timeout= [err=]
	MsgSSH           = "ssh"               // state= [address= port= methods= fingerprint= err= remedy=]
	MsgSSHPassword   = "ssh password"      // password= remedy=; on the local consoles only
	MsgSSHLogin      = "ssh login"         // from= method= [others=]
	MsgSSHRefused    = "ssh refused"       // from= passwords= or connections= [others=] remedy=
	MsgConfig        = "config"            // source= keys= or line= column= key= err= remedy=
)

// MsgGuestTraffic has a long name: guest= reason= packets= err= remedy=.
const MsgGuestTraffic = "guest traffic refused"
