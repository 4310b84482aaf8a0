/**
 * The flags that docker's documentation lists for each of its commands (docker/cli v29.7.2): in front of the name the
 * letter that is short for it, and behind it `=` where it takes a value. Tests hold tsd's commands against it; commands
 * of which tsd has no more than an answer take their flags from it.
 */
const documented = `
builder build: add-host= build-arg= cache-from= cgroup-parent= compress cpu-period= cpu-quota= c|cpu-shares= cpuset-cpus= cpuset-mems= f|file= force-rm iidfile= isolation= label= m|memory= memory-swap= network= no-cache platform= pull q|quiet rm security-opt= shm-size= squash t|tag= target= ulimit=
builder prune: a|all filter= f|force keep-storage=
checkpoint create: checkpoint-dir= leave-running
checkpoint ls: checkpoint-dir=
checkpoint rm: checkpoint-dir=
config create: l|label= template-driver=
config inspect: f|format= pretty
config ls: f|filter= format= q|quiet
config rm:
container attach: detach-keys= no-stdin sig-proxy
container commit: a|author= c|change= m|message= no-pause
container cp: a|archive L|follow-link q|quiet
container create: add-host= annotation= a|attach= blkio-weight= blkio-weight-device= cap-add= cap-drop= cgroup-parent= cgroupns= cidfile= cpu-count= cpu-percent= cpu-period= cpu-quota= cpu-rt-period= cpu-rt-runtime= c|cpu-shares= cpus= cpuset-cpus= cpuset-mems= device= device-cgroup-rule= device-read-bps= device-read-iops= device-write-bps= device-write-iops= dns= dns-option= dns-search= domainname= entrypoint= e|env= env-file= expose= gpus= group-add= health-cmd= health-interval= health-retries= health-start-interval= health-start-period= health-timeout= h|hostname= init i|interactive io-maxbandwidth= io-maxiops= ip= ip6= ipc= isolation= l|label= label-file= link= link-local-ip= log-driver= log-opt= mac-address= m|memory= memory-reservation= memory-swap= memory-swappiness= mount= name= network= network-alias= no-healthcheck oom-kill-disable oom-score-adj= pid= pids-limit= platform= privileged p|publish= P|publish-all pull= q|quiet read-only restart= rm runtime= security-opt= shm-size= stop-signal= stop-timeout= storage-opt= sysctl= tmpfs= t|tty ulimit= use-api-socket u|user= userns= uts= v|volume= volume-driver= volumes-from= w|workdir=
container diff:
container exec: d|detach detach-keys= e|env= env-file= i|interactive privileged t|tty u|user= w|workdir=
container export: o|output=
container inspect: f|format= s|size
container kill: s|signal=
container logs: details f|follow since= n|tail= t|timestamps until=
container ls: a|all f|filter= format= n|last= l|latest no-trunc q|quiet s|size
container pause:
container port:
container prune: filter= f|force
container rename:
container restart: s|signal= t|timeout=
container rm: f|force l|link v|volumes
container run: add-host= annotation= a|attach= blkio-weight= blkio-weight-device= cap-add= cap-drop= cgroup-parent= cgroupns= cidfile= cpu-count= cpu-percent= cpu-period= cpu-quota= cpu-rt-period= cpu-rt-runtime= c|cpu-shares= cpus= cpuset-cpus= cpuset-mems= d|detach detach-keys= device= device-cgroup-rule= device-read-bps= device-read-iops= device-write-bps= device-write-iops= dns= dns-option= dns-search= domainname= entrypoint= e|env= env-file= expose= gpus= group-add= health-cmd= health-interval= health-retries= health-start-interval= health-start-period= health-timeout= h|hostname= init i|interactive io-maxbandwidth= io-maxiops= ip= ip6= ipc= isolation= l|label= label-file= link= link-local-ip= log-driver= log-opt= mac-address= m|memory= memory-reservation= memory-swap= memory-swappiness= mount= name= network= network-alias= no-healthcheck oom-kill-disable oom-score-adj= pid= pids-limit= platform= privileged p|publish= P|publish-all pull= q|quiet read-only restart= rm runtime= security-opt= shm-size= sig-proxy stop-signal= stop-timeout= storage-opt= sysctl= tmpfs= t|tty ulimit= use-api-socket u|user= userns= uts= v|volume= volume-driver= volumes-from= w|workdir=
container start: a|attach checkpoint= checkpoint-dir= detach-keys= i|interactive
container stats: a|all format= no-stream no-trunc
container stop: s|signal= t|timeout=
container top:
container unpause:
container update: blkio-weight= cpu-period= cpu-quota= cpu-rt-period= cpu-rt-runtime= c|cpu-shares= cpus= cpuset-cpus= cpuset-mems= m|memory= memory-reservation= memory-swap= pids-limit= restart=
container wait:
context create: description= docker= from=
context export:
context import:
context inspect: f|format=
context ls: format= q|quiet
context rm: f|force
context show:
context update: description= docker=
context use:
image build: add-host= build-arg= cache-from= cgroup-parent= compress cpu-period= cpu-quota= c|cpu-shares= cpuset-cpus= cpuset-mems= f|file= force-rm iidfile= isolation= label= m|memory= memory-swap= network= no-cache platform= pull q|quiet rm security-opt= shm-size= squash t|tag= target= ulimit=
image history: format= H|human no-trunc platform= q|quiet
image import: c|change= m|message= platform=
image inspect: f|format= platform=
image load: i|input= platform= q|quiet
image ls: a|all digests f|filter= format= no-trunc q|quiet tree
image prune: a|all filter= f|force
image pull: a|all-tags platform= q|quiet
image push: a|all-tags platform= q|quiet
image rm: f|force no-prune platform=
image save: o|output= platform=
image tag:
inspect: f|format= s|size type=
login: p|password= password-stdin u|username=
logout:
manifest annotate: arch= os= os-features= os-version= variant=
manifest create: a|amend insecure
manifest inspect: insecure v|verbose
manifest push: insecure p|purge
manifest rm:
network connect: alias= driver-opt= gw-priority= ip= ip6= link= link-local-ip=
network create: attachable aux-address= config-from= config-only d|driver= gateway= ingress internal ip-range= ipam-driver= ipam-opt= ipv4 ipv6 label= o|opt= scope= subnet=
network disconnect: f|force
network inspect: f|format= v|verbose
network ls: f|filter= format= no-trunc q|quiet
network prune: filter= f|force
network rm: f|force
node demote:
node inspect: f|format= pretty
node ls: f|filter= format= q|quiet
node promote:
node ps: f|filter= format= no-resolve no-trunc q|quiet
node rm: f|force
node update: availability= label-add= label-rm= role=
plugin create: compress
plugin disable: f|force
plugin enable: timeout=
plugin inspect: f|format=
plugin install: alias= disable grant-all-permissions
plugin ls: f|filter= format= no-trunc q|quiet
plugin push:
plugin rm: f|force
plugin set:
plugin upgrade: grant-all-permissions skip-remote-check
search: f|filter= format= limit= no-trunc
secret create: d|driver= l|label= template-driver=
secret inspect: f|format= pretty
secret ls: f|filter= format= q|quiet
secret rm:
service create: cap-add= cap-drop= config= constraint= container-label= credential-spec= d|detach dns= dns-option= dns-search= endpoint-mode= entrypoint= e|env= env-file= generic-resource= group= health-cmd= health-interval= health-retries= health-start-interval= health-start-period= health-timeout= host= hostname= init isolation= l|label= limit-cpu= limit-memory= limit-pids= log-driver= log-opt= max-concurrent= memory-swap= memory-swappiness= mode= mount= name= network= no-healthcheck no-resolve-image oom-score-adj= placement-pref= p|publish= q|quiet read-only replicas= replicas-max-per-node= reserve-cpu= reserve-memory= restart-condition= restart-delay= restart-max-attempts= restart-window= rollback-delay= rollback-failure-action= rollback-max-failure-ratio= rollback-monitor= rollback-order= rollback-parallelism= secret= stop-grace-period= stop-signal= sysctl= t|tty ulimit= update-delay= update-failure-action= update-max-failure-ratio= update-monitor= update-order= update-parallelism= u|user= with-registry-auth w|workdir=
service inspect: f|format= pretty
service logs: details f|follow no-resolve no-task-ids no-trunc raw since= n|tail= t|timestamps
service ls: f|filter= format= q|quiet
service ps: f|filter= format= no-resolve no-trunc q|quiet
service rm:
service rollback: d|detach q|quiet
service scale: d|detach
service update: args= cap-add= cap-drop= config-add= config-rm= constraint-add= constraint-rm= container-label-add= container-label-rm= credential-spec= d|detach dns-add= dns-option-add= dns-option-rm= dns-rm= dns-search-add= dns-search-rm= endpoint-mode= entrypoint= env-add= env-rm= force generic-resource-add= generic-resource-rm= group-add= group-rm= health-cmd= health-interval= health-retries= health-start-interval= health-start-period= health-timeout= host-add= host-rm= hostname= image= init isolation= label-add= label-rm= limit-cpu= limit-memory= limit-pids= log-driver= log-opt= max-concurrent= mount-add= mount-rm= network-add= network-rm= no-healthcheck no-resolve-image oom-score-adj= placement-pref-add= placement-pref-rm= publish-add= publish-rm= q|quiet read-only replicas= replicas-max-per-node= reserve-cpu= reserve-memory= restart-condition= restart-delay= restart-max-attempts= restart-window= rollback rollback-delay= rollback-failure-action= rollback-max-failure-ratio= rollback-monitor= rollback-order= rollback-parallelism= secret-add= secret-rm= stop-grace-period= stop-signal= sysctl-add= sysctl-rm= t|tty ulimit-add= ulimit-rm= update-delay= update-failure-action= update-max-failure-ratio= update-monitor= update-order= update-parallelism= u|user= with-registry-auth w|workdir=
stack config: c|compose-file= skip-interpolation
stack deploy: c|compose-file= d|detach prune q|quiet resolve-image= with-registry-auth
stack ls: format=
stack ps: f|filter= format= no-resolve no-trunc q|quiet
stack rm: d|detach
stack services: f|filter= format= q|quiet
swarm ca: ca-cert= ca-key= cert-expiry= d|detach external-ca= q|quiet rotate
swarm init: advertise-addr= autolock availability= cert-expiry= data-path-addr= data-path-port= default-addr-pool= default-addr-pool-mask-length= dispatcher-heartbeat= external-ca= force-new-cluster listen-addr= max-snapshots= snapshot-interval= task-history-limit=
swarm join: advertise-addr= availability= data-path-addr= listen-addr= token=
swarm join-token: q|quiet rotate
swarm leave: f|force
swarm unlock:
swarm unlock-key: q|quiet rotate
swarm update: autolock cert-expiry= dispatcher-heartbeat= external-ca= max-snapshots= snapshot-interval= task-history-limit=
system df: format= v|verbose
system dial-stdio:
system events: f|filter= format= since= until=
system info: f|format=
system prune: a|all filter= f|force volumes
version: f|format=
volume create: availability= d|driver= group= label= limit-bytes= o|opt= required-bytes= scope= secret= sharing= topology-preferred= topology-required= type=
volume inspect: f|format=
volume ls: cluster f|filter= format= q|quiet
volume prune: a|all filter= f|force
volume rm: f|force
volume update: availability=
`;

export interface DocumentedFlag {
  name: string;
  short?: string;
  takesValue: boolean;
}

/** By command: `container run`, `search`. */
export const documentedFlags: ReadonlyMap<string, readonly DocumentedFlag[]> = new Map(
  documented
    .trim()
    .split("\n")
    .map((line): [string, DocumentedFlag[]] => {
      const [command = "", flags = ""] = line.split(/: ?/);
      return [command, flags.split(" ").filter(Boolean).map(parseFlag)];
    }),
);

function parseFlag(text: string): DocumentedFlag {
  const [, short, name = "", equals] = /^(?:(\w)\|)?([\w-]+)(=?)$/.exec(text)!;
  return { name, takesValue: equals === "=", ...(short !== undefined && { short }) };
}
