//! Agents as jobs of a real Slurm, of one node.

use super::{
    Bench, Duration, Instant,
    sweeps::{SWEEP, values},
    texts,
};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// Controller and node of a cluster; both end with it.
struct Slurm {
    daemons: Vec<Child>,
    config: PathBuf,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Slurm {
    /// None, with a word, where this machine has no Slurm, or may not start it.
    fn start(folder: &Path) -> Option<Self> {
        let skipped = |why: &str| eprintln!("SKIPPED: agents_are_jobs_of_slurm, {why}");
        let plugins = Path::new("/usr/lib/x86_64-linux-gnu/slurm-wlm");
        if !plugins.exists() || Command::new("slurmctld").arg("-V").output().is_err() {
            skipped("there is no Slurm (Debian: slurmctld, slurmd, slurm-client)");
            return None;
        }
        let user = Command::new("id").arg("-u").output().unwrap();
        if texts(&user).0.trim() != "0" {
            skipped("its daemons need to be root");
            return None;
        }
        // The controller starts on the host that it is said to be on, and nowhere else.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.join(name).display().to_string();
        for name in ["state", "spool"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let config = folder.join("slurm.conf");
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nAuthType=auth/none\nCredType=cred/none\nSlurmUser=root\nSlurmdUser=root\n\
             SlurmctldPort={}\nSlurmdPort={}\nStateSaveLocation={}\nSlurmdSpoolDir={}\nSlurmctldPidFile={}\nSlurmdPidFile={}\n\
             PluginDir={}\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
             JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\nMpiDefault=none\nSwitchType=switch/none\n\
             ReturnToService=2\nNodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\nPartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            port(),
            port(),
            at("state"),
            at("spool"),
            at("ctld.pid"),
            at("d.pid"),
            plugins.display()
        );
        std::fs::write(&config, text).unwrap();
        let daemon = |name: &str, arguments: &[&str]| {
            let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(name);
            command.arg("-D").arg("-f").arg(&config).args(arguments).env("SLURM_CONF", &config);
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap()
        };
        let daemons = vec![daemon("slurmctld", &[]), daemon("slurmd", &["-N", host])];
        let slurm = Self { daemons, config };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !slurm.ask("sinfo", &["-h", "-o", "%T"]).0.contains("idle") {
            if Instant::now() > deadline {
                let log = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
                let (controller, node) = (log("slurmctld.log"), log("slurmd.log"));
                skipped(&format!("it does not start here:\n{controller}\n{node}"));
                return None;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(slurm)
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> (String, String) {
        let output: Output =
            Command::new(program).args(arguments).env("SLURM_CONF", &self.config).output().unwrap();
        texts(&output)
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !done() {
            assert!(
                Instant::now() < deadline,
                "not in two minutes: {what}\n{:?}",
                self.ask("squeue", &["-a"])
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn agents_are_jobs_of_slurm() {
    let bench = Bench::new();
    let Some(slurm) = Slurm::start(&bench.path("slurm")) else { return };
    bench.file("sweep.yaml", &SWEEP.replace("epochs: 2", "epochs: 40"));
    bench.ok("sweep create sweep.yaml");
    let output = bench
        .command("sweep submit sweep --slurm --agents 2 --json")
        .env("SLURM_CONF", &slurm.config)
        .output()
        .unwrap();
    let (answer, error) = texts(&output);
    let answer: serde_json::Value =
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{error}"));
    let job = answer["job"].as_str().unwrap();

    // Preempted in the midst of its first trial: the trial goes back, and the task is queued again.
    let first = format!("{job}_0");
    slurm.wait("a trial has a checkpoint", || {
        bench.path("runs/sweep/0.001_0/metrics.jsonl").exists()
    });
    slurm.ask("scancel", &["--batch", "--signal=USR1", &first]);
    let log = bench.path(&format!("runs/sweep/slurm/{job}_0.log"));
    slurm.wait("the agent says so", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("is to be requeued"))
    });
    // Slurm lets a requeued job rest for a minute or two; before it is requeued it cannot be told not to.
    let hurry = || slurm.ask("scontrol", &["update", &format!("JobId={first}"), "StartTime=now"]);
    slurm.wait("every trial is done", || {
        hurry();
        values(&bench, "sweep").values().all(|(state, _)| state == "done")
    });
    let results = bench.ok("sweep results sweep --json");
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    for trial in results["trials"].as_array().unwrap() {
        assert_eq!(trial["attempts"], 0, "{trial}");
    }
    slurm.wait("no job is left", || {
        hurry();
        slurm.ask("squeue", &["-h"]).0.trim().is_empty()
    });
}
