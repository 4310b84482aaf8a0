/** socket(7), ip(7), ipv6(7), tcp(7), udp(7): the numbers of x86-64 and of every architecture with the generic ones. */

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_PEERCRED = 17;
/** Beyond net.core.wmem_max, rmem_max: with CAP_NET_ADMIN. */
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_COOKIE = 57;

export const SOL_IP = 0;
export const IP_PKTINFO = 8;

export const SOL_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;

export const SOL_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_SYNCNT = 7;

export const SHUT_RD = 0;
export const SHUT_WR = 1;

export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

/** epoll_ctl(2) */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
/** Always reported. */
export const EPOLLERR = 0x008;
/** Always reported. */
export const EPOLLHUP = 0x010;
/** The peer has closed its direction. */
/** Reported when it changes, and not as long as it is so. */
