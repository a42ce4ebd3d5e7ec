// Package netserve lets the machine that built the disc boot the PC next to it: on one interface it
// answers PXE and HTTP Boot clients, and gives them the files of a netboot tree by TFTP and HTTP.
//
// On a network that has a DHCP server it is a proxy DHCP server (PXE specification 2.1, chapter 2): it
// tells boot clients, and nobody else, what to load and from where, and never offers an address. With
// a range of addresses it is the only DHCP server of a link that has none, such as a cable between
// two machines. No client can keep it from serving the others: slots limit what each has under way.
//
// Its core is pure: identify reads what a client is, site.bootFile says what it is to load,
// dhcpServer.decide makes a reply of a message or none, parsePacket reads what TFTP clients send.
// The sockets, all of them bound to the interface, are a thin layer over it. It serves on Linux only.
package netserve
