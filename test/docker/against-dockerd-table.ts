/**
 * Command lines of docker's, in the order in which each daemon gets them. IMAGE is busybox, DIR a directory of the
 * daemon's own; `'…'` is one word; what stands behind `<<` is standard input. A line that begins with `$` is the
 * shell's, in DIR. What docker's client refuses by itself, without asking a daemon, cannot differ, and is not here.
 */
export const table = `
# create, and what it refuses
create --name made --expose 91 -l team=blue -l tier= -e A=1 IMAGE echo hello
create --name made IMAGE
create --name 'not valid' IMAGE
create --name a/b IMAGE
create --pull never absent:1
create --pull never Upper:1
create -m 1 --name e1 IMAGE
create -m 64m --memory-swap 32m --name e2 IMAGE
create --memory-swap 64m --name e3 IMAGE
create -m 64m --memory-reservation 128m --name e4 IMAGE
create --memory-swappiness 101 --name e5 IMAGE
create --cpus 1000 --name e6 IMAGE
create --cpus 1 --cpu-quota 5000 --name e7 IMAGE
create --cpu-period 5 --name e8 IMAGE
create --cpu-quota 5 --name e9 IMAGE
create --cpuset-cpus 99 --name e10 IMAGE
create --cpuset-cpus x --name e11 IMAGE
create --cpuset-mems 99 --name e12 IMAGE
create --blkio-weight 5 --name e13 IMAGE
create --restart sometimes --name e14 IMAGE
create --restart always:3 --name e15 IMAGE
create --rm --restart always --name e16 IMAGE
create -p 127.0.0.1:80:80/foo --name e17 IMAGE
create -p 1.2.3.400:80:80 --name e18 IMAGE
create -v /a:/b:wrong --name e19 IMAGE
create -v /a:relative --name e20 IMAGE
create -v /a:/ --name e21 IMAGE
create -v a/b:/c --name e22 IMAGE
create -v 'x!:/c' --name e23 IMAGE
create -v /a:/c -v /b:/c --name e24 IMAGE
create --mount type=wrong,dst=/x --name e25 IMAGE
create --mount type=bind,src=/absent/path,dst=/x --name e26 IMAGE
create --mount type=bind,src=relative,dst=/x --name e27 IMAGE
create --mount type=volume,src=v,dst=x --name e28 IMAGE
create --mount type=tmpfs,dst=/x,src=/y --name e29 IMAGE
create --mount type=bind,dst=/x --name e30 IMAGE
create --tmpfs relative --name e31 IMAGE
create --tmpfs /x:wrong=1 --name e32 IMAGE
create --ulimit nofile=1:2 --ulimit nofile=2:3 --name e33 IMAGE
create --log-opt wrong=1 --name e35 IMAGE
create --log-opt max-size=wrong --name e36 IMAGE
create --cap-add NOPE --name e37 IMAGE
create --cap-drop NOPE --name e38 IMAGE
create --security-opt wrong=1 --name e39 IMAGE
create --security-opt label=wrong --name e40 IMAGE
create --sysctl wrong=1 --name e41 IMAGE
create --network host --sysctl net.ipv4.ip_forward=1 --name e42 IMAGE
create --ipc container:absent --name e43 IMAGE
create --ipc wrong --name e44 IMAGE
create --pid wrong --name e45 IMAGE
create --pid container:absent --name e46 IMAGE
create --uts wrong --name e47 IMAGE
create --userns wrong --name e48 IMAGE
create --cgroupns wrong --name e49 IMAGE
create --network container:absent --name e50 IMAGE
create --network host -p 80:80 --name e51 IMAGE
create --network container:made -p 80:80 --name e52 IMAGE
create --network container:made --hostname h --name e53 IMAGE
create --network host --link made:x --name e54 IMAGE
create --network none --mac-address 02:42:ac:11:00:09 --name e55 IMAGE
create --mac-address wrong --name e56 IMAGE
create --ip 172.31.0.5 --name e57 IMAGE
create --network-alias x --name e58 IMAGE
create --shm-size=-1 --name e59 IMAGE
create --oom-score-adj 1001 --name e60 IMAGE
create --stop-signal NOPE --name e61 IMAGE
create --hostname 'bad host' --name e62 IMAGE
create --health-cmd true --health-interval 1ns --name e63 IMAGE
create --health-cmd true --health-retries=-1 --name e64 IMAGE
create --pids-limit=-5 --name e65 IMAGE
create --runtime absent --name e66 IMAGE
create --volumes-from absent --name e67 IMAGE
create --volumes-from made:wrong --name e68 IMAGE
create --link absent:x --name e69 IMAGE
create --isolation hyperv --name e70 IMAGE
create --pull never --platform linux/s390x --name e71 IMAGE
create --platform wrong/x/y/z --name e72 IMAGE
create --gpus all --name e74 IMAGE
create --workdir relative --name e75 IMAGE
create --device-read-bps /dev/absent:1mb --name e76 IMAGE
create --device-cgroup-rule wrong --name e77 IMAGE
create --cgroup-parent relative.slice --name e78 IMAGE
create --group-add absent --name e79 IMAGE
create --init --privileged --read-only --name e80 IMAGE
create --add-host wrong:1.2.3 --name e82 IMAGE
create --oom-kill-disable --name e83 IMAGE
create --cidfile DIR/cid --name e84 IMAGE
$ wc -c cid
create --env-file DIR/cid --label-file DIR/cid --name e85 IMAGE
ps -a --filter name=^/e --format '{{.Names}}: {{.Status}}'
container prune -f --filter label!=team

# run, in the foreground
run --rm --name r0 --network none IMAGE ls -aF / /dev
run --rm --name r1 IMAGE echo one two
run --rm --name r2 -i IMAGE cat << what is given
run --rm --name r3 IMAGE sh -c 'echo out; echo err >&2; exit 7'
run --rm --name r4 -e A=1 -e B -w /tmp -u 1000:29 --group-add 100 --hostname there --domainname example.test IMAGE sh -c 'env | sort; pwd; id; hostname -f'
run --rm --name r5 --entrypoint '' IMAGE sh -c 'echo none'
run --rm --name r6 --entrypoint echo IMAGE instead
run --rm --name r7 -t IMAGE sh -c 'tty; echo a'
run --rm --name r8 -a stderr IMAGE sh -c 'echo out; echo err >&2'
run --rm --name r9 --network none --read-only --tmpfs /run:size=1m --shm-size 2m IMAGE sh -c 'touch /x; touch /run/x; df -k /run /dev/shm | tail -n 2'
run --rm --name r10 --network none --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges --pids-limit 20 --ulimit nofile=100:200 IMAGE sh -c 'grep -E "Cap|NoNew" /proc/self/status; ulimit -n; ulimit -Hn'
run --rm --name r11 --network none -m 64m --memory-swap 128m --cpus 0.5 --cpu-shares 100 --cpuset-cpus 0 IMAGE sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us cpuset/cpuset.cpus'
run --rm --name r12 --network none -v DIR:/data:ro -v kept:/kept -v /anonymous IMAGE sh -c 'touch /data/x; touch /kept/x; ls -d /anonymous'
run --rm --name r13 --network none --init IMAGE cat /proc/1/comm
run --rm --name r14 --network none --device /dev/null:/dev/nought:r --sysctl net.ipv4.ip_forward=1 --dns 192.0.2.1 --add-host a:192.0.2.2 IMAGE sh -c 'ls /dev; cat /proc/sys/net/ipv4/ip_forward; grep nameserver /etc/resolv.conf'
run --rm --name r15 IMAGE nosuch
run --rm --name r16 IMAGE /no/such
run --rm --name r17 IMAGE /etc
run --rm --name r18 IMAGE /etc/not-executable
run --rm --name r19 -w /etc/passwd IMAGE true
run --rm --name r20 -u nosuch IMAGE true
run --rm --name r21 --group-add nosuch IMAGE true
run --rm --name r22 --network nosuch IMAGE true
run --rm --name r23 --pull never nosuch:1
run --rm --name made IMAGE true
run --rm --name r24 -d -a stdout IMAGE true
run --rm --name r25 --device /dev/nosuch IMAGE true
run --rm --name r26 --sysctl kernel.nosuch=1 IMAGE true
run --rm --name r27 --cidfile DIR/cid IMAGE true
run --rm --name r28 --health-cmd true --stop-timeout 3 --stop-signal INT --label a=b IMAGE sh -c 'kill -9 $$'
volume rm kept
events --since 1h --until=-1s --filter container=r28 --filter container=r14 --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.a}}'

# running ones, and their lists
run -d --name web -v DIR:/data -p 127.0.0.1:18080:80 -p 127.0.0.1:18081:81/udp --expose 90 -l team=red --stop-signal KILL IMAGE sleep 1000
run -d --name named -v kept:/kept --network none --tmpfs /t IMAGE sh -c 'echo first; echo second; echo third; mkdir /made; echo x > /made/x; rm /etc/not-executable; chmod 700 /tmp; sleep 1000'
run -d --name failed --network none IMAGE sh -c 'echo wrong >&2; exit 3'
run -d --name ended --network none IMAGE echo -n 'no end of line'
wait failed ended
pause named
ps
ps -a
ps -a --no-trunc
ps -q --no-trunc
ps -n 2
ps -l
ps -a -s --format '{{.Names}} {{.Size}}'
ps -a --format json --filter name=web
ps -a --format '{{json .}}' --filter name=named
ps -a --format 'table {{.Names}}\\t{{.Image}}\\t{{.Command}}\\t{{.Ports}}'
ps -a --format '{{.ID}} {{.Names}} {{.State}} {{.Networks}} {{.Mounts}} {{.LocalVolumes}} {{.Labels}} {{.RunningFor}}'
ps -a --no-trunc --format '{{.Mounts}} {{.Ports}} {{.Label "team"}}'
ps -a --filter status=exited --format '{{.Names}}'
ps -a --filter status=paused --filter status=created --format '{{.Names}}'
ps -a --filter status=wrong
ps -a --filter exited=3 --format '{{.Names}}'
ps -a --filter exited=wrong
ps -a --filter label=team --format '{{.Names}}'
ps -a --filter label=team=blue --format '{{.Names}}'
ps -a --filter label=team=blue --filter label=tier --format '{{.Names}}'
ps -a --filter name=^/web$ --format '{{.Names}}'
ps -a --filter name=e --format '{{.Names}}'
ps -a --filter name=[ --format '{{.Names}}'
ps -a --filter ancestor=IMAGE --format '{{.Names}}'
ps -a --filter ancestor=nosuch
ps -a --filter before=named --format '{{.Names}}'
ps -a --filter since=named --format '{{.Names}}'
ps -a --filter before=nosuch
ps -a --filter network=bridge --format '{{.Names}}'
ps -a --filter network=nosuch --format '{{.Names}}'
ps -a --filter volume=kept --format '{{.Names}}'
ps -a --filter volume=/data --format '{{.Names}}'
ps -a --filter publish=18080 --format '{{.Names}}'
ps -a --filter publish=18080-18081/udp --format '{{.Names}}'
ps -a --filter publish=80 --format '{{.Names}}'
ps -a --filter expose=80-81 --format '{{.Names}}'
ps -a --filter expose=91 --filter publish=18080 --format '{{.Names}}'
ps -a --filter expose=90 --format '{{.Names}}'
ps -a --filter publish=wrong
ps -a --filter health=none --format '{{.Names}}'
ps -a --filter health=wrong
ps -a --filter is-task=true
ps -a --filter is-task=wrong
ps -a --filter id=nosuch
ps -a --filter colour=red
ps --filter name=web --format '{{.Nosuch}}'

# what is to be seen of one
port web
port web 80
port web 81/udp
port web 82
port web 80/wrong
port made
port nosuch
logs named
logs -n 1 named
logs -n 0 named
logs --details named
logs -t -n 1 named
logs --since 2000-01-01T00:00:00Z --until 1h named
logs --since 1h --until 2001-01-01T00:00:00Z named
logs --since wrong named
logs -n wrong named
logs -f ended
logs failed
logs made
logs nosuch
top web
top web -o pid,user,args
top web -o args
top web -o nosuch
top named
top made
top nosuch
stats --no-stream web
stats --no-stream -a --format '{{.Name}} {{.PIDs}}' web made
stats --no-stream nosuch
diff named
diff made
diff nosuch
inspect web --format '{{json .State}}{{println}}{{json .Config}}{{println}}{{json .Mounts}}{{println}}{{json .NetworkSettings.Ports}}'
inspect web --format '{{json .NetworkSettings.Networks}}'
inspect named -s --format '{{.State.Status}} {{.State.Paused}} {{lt 1 .SizeRw}} {{lt .SizeRw .SizeRootFs}} {{.Name}} {{.Path}} {{json .Args}}'
inspect made failed nosuch --format '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{json .State.Error}}'
inspect --type container nosuch
container inspect nosuch
inspect --type volume web
inspect --format '{{.Nosuch}}' web
inspect --format '{{range $k, $v := .NetworkSettings.Ports}}{{$k}}={{len $v}} {{end}}{{json .Mounts}}' web

# exec
exec web echo one two
exec web sh -c 'echo out; echo err >&2; exit 7'
exec -i web cat << what is given
exec -t web tty
exec -d web sleep 1
exec -e A=1 -w /tmp -u 1000 web sh -c 'echo $A; pwd; id'
exec web nosuch
exec web /etc
exec -w /no/such web true
exec -w relative web true
exec -u nosuch web true
exec -e '' web true
exec named true
exec made true
exec nosuch true
exec -d web nosuch

# files
cp named:/made DIR/copied
$ cat copied/x
cp DIR/copied made:/tmp/copied
cp -q made:/tmp/copied/x DIR/y
$ cat y
cp made:/tmp/copied/x DIR/y
cp - made:/nosuch << no archive
cp - made:/tmp << no archive
cp named:/nosuch DIR/x
cp DIR/nosuch named:/tmp
cp DIR/copied/x named:/no/such
cp nosuch:/x DIR/x
cp DIR/copied/x nosuch:/x
container diff made
export -o DIR/made.tar made
$ tar tf made.tar | grep -v ^bin/ | sort
export -o DIR/x.tar nosuch
commit -a me -m 'a message' -c 'ENV C=1' -c 'CMD ["cat","/made/x"]' -c 'EXPOSE 99' named committed:1
commit --pause=false named
commit -c 'NOSUCH x' named
commit -c 'FROM x' named
commit -c 'ENV' named
commit named Upper
commit nosuch
image inspect committed:1 --format '{{json .Config}} {{.Comment}} {{.Author}} {{.Architecture}} {{.Os}} {{len .RootFS.Layers}}'
history committed:1 --format '{{.CreatedBy}}|{{.Comment}}|{{.Size}}'
run --rm --name r29 --network none committed:1
rmi committed:1

# states
unpause web
unpause named
container unpause named
unpause nosuch
pause made
pause nosuch
pause named web
pause web
start web
restart -t 0 web
ps --filter name=web --filter name=named --format '{{.Names}} {{.State}}'
stop -t 0 named
stop named made
stop nosuch
kill -s NOSUCH web
kill -s 0 web
kill -s WINCH web
stop -s NOSUCH -t 0 web
container start web
kill named
kill made
kill nosuch
rename made remade
rename remade web
rename remade remade
rename remade 'not valid'
rename remade a/b
rename nosuch other
rename remade ''
wait nosuch named
attach named
attach nosuch
start nosuch named
start -a remade
start -a failed
start -a nosuch
start -a failed remade
restart -t 0 named
restart nosuch
restart -t 0 -s NOSUCH remade
update -m 64m --memory-swap 128m --cpu-shares 200 --cpuset-cpus 0 --pids-limit 30 --restart on-failure:2 named
inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}' named
exec named cat /sys/fs/cgroup/memory/memory.limit_in_bytes
update -m 1g named
update -m 1 named
update --memory-swap 1m named
update --cpus 1000 named
update --cpus 1 --cpu-period 5000 named
update --cpuset-cpus 99 named
update --restart wrong named
update --restart always:3 named
update --blkio-weight 5 named
update --pids-limit=-1 remade
update --cpus 0.5 nosuch named
update named
run -d -i --name reader --network none IMAGE sh -c 'read x; echo got $x; exit 4'
$ (echo words; docker wait reader) | docker attach reader
create -i --name starter --network none IMAGE sh -c 'read x; echo got $x; exit 5'
start -ai starter << again
logs starter
attach starter

# ends
rm web
rm nosuch
rm -l nosuch/x
rm -l web
rm -l web/nolink
create --name linked --link web:alias IMAGE
ps -a --filter name=alias --format '{{.Names}}'
rm -l linked/alias
ps -a --filter name=alias -q
rm linked
rm remade web
rm failed
rm -f nosuch
rm -v ended starter
rm -f named reader web
events --since 1h --until=-1s --filter container=named --filter event=pause --filter event=kill --filter event=die --filter event=stop --filter event=start --filter event=restart --filter event=update --filter event=commit --filter event=archive-path --filter event=top --filter event=destroy --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
container prune -f
container prune -f --filter until=wrong
container prune -f --filter colour=red
volume ls -q
volume remove kept
container ls -a
events --since 1h --until 1h --filter colour=red
`;
