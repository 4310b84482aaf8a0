/** quotactl(2) and project ids: include/uapi/linux/quota.h, linux/dqblk_xfs.h, linux/fs.h. */

export const PRJQUOTA = 2;
export const Q_GETQUOTA = 0x800007;
export const Q_SETQUOTA = 0x800008;
/** XQM_CMD(5): which kinds of quotas are counted and enforced, of any file system. */
export const Q_XGETQSTAT = 0x5805;
/** In `qs_flags`: project quotas are counted; they limit. */
export const FS_QUOTA_PDQ_ACCT = 1 << 4;
export const FS_QUOTA_PDQ_ENFD = 1 << 5;
/** In `dqb_valid`: the limits of space are set, nothing else. */
export const QIF_BLIMITS = 1;

/** `struct fsxattr` has 28 bytes. */
export const FS_IOC_FSGETXATTR = 0x801c581f;
export const FS_IOC_FSSETXATTR = 0x401c5820;
/** What is made in the directory belongs to its project, and inherits this flag. */
export const FS_XFLAG_PROJINHERIT = 0x200;
