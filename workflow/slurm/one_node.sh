#!/bin/sh
# Single-node Slurm on this machine, to test the workflow; as root, with Debian's slurm-wlm and munge.
#
#   workflow/slurm/one_node.sh start [GPUS]    start it with simulated GPUs, by default 2
#   workflow/slurm/one_node.sh stop            stop it and all remaining jobs
#
# It listens on the loopback interface only, has no accounting, and its files are in /run/galgen-slurm. A simulated GPU
# is a number in CUDA_VISIBLE_DEVICES that is assigned to one job at a time.
set -eu
dir=/run/galgen-slurm
export SLURM_CONF=/etc/slurm/slurm.conf

start() {
    mkdir -p "$dir/state" "$dir/spool" /run/munge /etc/slurm
    host=$(hostname -s)
    cpus=$(nproc)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat > "$SLURM_CONF" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5
DefMemPerCPU=1000
ReturnToService=2
KillWait=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:$1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
END
    # Simulated GPUs are never opened, so any device file works; each needs a separate one.
    : > /etc/slurm/gres.conf
    for k in $(seq 0 $(($1 - 1))); do
        [ -e "$dir/gpu$k" ] || mknod "$dir/gpu$k" c 1 3
        echo "NodeName=$host Name=gpu File=$dir/gpu$k" >> /etc/slurm/gres.conf
    done
    [ -f /etc/munge/munge.key ] || mungekey --create
    chown -R munge: /etc/munge /run/munge /var/lib/munge /var/log/munge
    runuser -u munge -- munged
    slurmctld
    slurmd
    until sinfo --noheader --states=idle 2> /dev/null | grep -q "$host"; do sleep 1; done
    sinfo --format="%n %t, %c CPUs, %m MB, %G"
}

stop() {
    scancel --user=root 2> /dev/null || true
    for name in slurmd slurmctld; do
        [ -f "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" || true
    done
    [ -f /run/munge/munged.pid ] && kill "$(cat /run/munge/munged.pid)" || true
}

case "${1-}" in
    start) start "${2:-2}" ;;
    stop) stop ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
