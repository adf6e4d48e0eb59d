//! The steps of `cargo dev`, in order, and the way back.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use local::aws::{LocalAws, Ports, Storage, sqs_client};
use local::cargo_lambda;
use local::environment::{self, Variables};
use local::processes::Family;
use local::provision::{self, References};
use local::pump::{self, Source};
use local::template::Template;
use local::watch::{self, Logs, Profile, Watch};
use local::{demo, shell, superuser};
use shared::{App, Config};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::folder::{self, Folder};
use crate::{Options, console, mail, migrating};

/// How long functions that an earlier run left behind get to end.
const GRACE: Duration = Duration::from_secs(2);
/// What a function may take beyond its timeout, for it may have to be compiled first.
const COMPILING: Duration = Duration::from_secs(60);

/// Runs until a signal comes, or until cargo-lambda ends.
pub(crate) async fn run(options: Options) -> Result<()> {
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);

    // Dropping a start that is under way kills what it has started so far.
    let mut running = tokio::select! {
        started = start(&options) => started?,
        () = &mut interrupted => return Ok(()),
    };
    let ended = tokio::select! {
        () = &mut interrupted => None,
        status = running.ended() => Some(status),
    };
    println!();
    console::begin("Stopping");
    running.stop().await;
    match ended {
        None => Ok(()),
        Some(status) => bail!(
            "cargo lambda watch ended by itself ({}), and everything else was stopped; start `cargo dev` again",
            status?
        ),
    }
}

/// Everything that has to be stopped, in the order in which it is.
struct Running {
    pump: JoinSet<Infallible>,
    watch: Option<Watch>,
    aws: LocalAws,
    /// Keeps the data locked.
    _folder: Folder,
}

impl Running {
    async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        match &mut self.watch {
            Some(watch) => watch.ended().await,
            None => std::future::pending().await,
        }
    }

    async fn stop(mut self) {
        self.pump.shutdown().await;
        if let Some(watch) = self.watch {
            watch.stop().await;
        }
        self.aws.shutdown().await;
    }
}

async fn start(options: &Options) -> Result<Running> {
    let begun = Instant::now();
    console::title("Sheaf on this machine");
    let root = folder::root()?;
    let template = Template::read(&root.join("template.yaml"))?;
    let folder = open_folder(options, &root)?;
    let family = end_leftovers(options, &folder).await;
    if !options.no_watch {
        check_port(options.port)?;
    }

    let aws = start_aws(options, &folder)?;
    let references = provision(&aws, &template).await?;
    let variables = variables(options, &folder, &template, &aws, &references)?;
    migrating::at_start(&variables).await?;
    if let Some(told) = superuser::first(&variables).await? {
        console::done("superuser", told);
    }
    if options.seed_demo {
        seed_demo(&variables).await?;
    }

    let watch = if options.no_watch {
        None
    } else {
        Some(start_watch(options, &root, &folder, family, &template, &variables).await?)
    };
    let pump = start_pump(options, &folder, &template, &aws, &references).await?;

    console::done(
        "ready",
        format!("after {:.1} s", begun.elapsed().as_secs_f32()),
    );
    print_addresses(options, &folder, &aws);
    if options.no_watch {
        print_exports(options, &variables);
    }
    Ok(Running {
        pump,
        watch,
        aws,
        _folder: folder,
    })
}

fn open_folder(options: &Options, root: &Path) -> Result<Folder> {
    let mut folder = Folder::open(root, options.data.as_deref())?;
    if options.ephemeral {
        console::done("data", "in memory, gone at the end");
        return Ok(folder);
    }
    folder.lock()?;
    if options.reset {
        folder.reset()?;
    }
    let state = if options.reset { "emptied" } else { "kept" };
    console::done("data", format!("{} ({state})", folder.path().display()));
    Ok(folder)
}

/// Whoever holds the lock is alone, so that any process with the folder's mark was left behind by a `cargo dev` that
/// was killed before it could stop it.
async fn end_leftovers(options: &Options, folder: &Folder) -> Family {
    if options.ephemeral {
        return Family::unique();
    }
    let family = Family::named(&folder.path().display().to_string());
    let left = family.count();
    if left > 0 {
        console::note(&format!(
            "Ending {left} processes that an earlier `cargo dev` left behind"
        ));
        family.end(GRACE).await;
    }
    family
}

fn check_port(port: u16) -> Result<()> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason = match error.kind() {
                ErrorKind::AddrInUse => "is in use".to_owned(),
                _ => format!("cannot be used ({error})"),
            };
            let other = if port > 60_000 {
                port - 100
            } else {
                port + 100
            };
            bail!(
                "port {port} {reason}; stop what uses it, or choose another with \
                 `cargo dev --port {other}`"
            )
        }
    }
}

fn start_aws(options: &Options, folder: &Folder) -> Result<LocalAws> {
    let storage = if options.ephemeral {
        Storage::Memory
    } else {
        Storage::Folder(folder.path().to_owned())
    };
    let step = console::step("local AWS");
    let aws = LocalAws::start(storage, Ports::From(options.port + 1))?;
    step.done("DynamoDB, SQS and S3, in this process");
    Ok(aws)
}

async fn provision(aws: &LocalAws, template: &Template) -> Result<References> {
    let step = console::step("template.yaml");
    let references = provision::provision(aws, template, "").await?;
    let counts = [
        (template.tables.len(), "table"),
        (template.queues.len(), "queue"),
        (template.buckets.len(), "bucket"),
        (template.schedules.len(), "schedule"),
        (template.functions.len(), "function"),
    ];
    let counts = counts.map(|(count, what)| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    });
    step.done(counts.join(", "));
    Ok(references)
}

/// The environment of the functions.
fn variables(
    options: &Options,
    folder: &Folder,
    template: &Template,
    aws: &LocalAws,
    references: &References,
) -> Result<Variables> {
    let secret = if options.ephemeral {
        folder::random_secret()?
    } else {
        folder.secret()?
    };
    let or = |name: &str, default: String| {
        let value = shell::variable(name).unwrap_or(default);
        (name.to_owned(), value)
    };
    let mut variables = environment::from_template(template, references, shell::variable)?;
    variables.extend(environment::aws(aws.endpoints()));
    variables.extend([
        ("ENVIRONMENT".to_owned(), "local".to_owned()),
        ("AUTH_SECRET".to_owned(), secret),
        or("PUBLIC_URL", format!("http://127.0.0.1:{}", options.port)),
        or("RATE_LIMIT_PER_MINUTE", "6000".to_owned()),
        // The documentation pages log in with it.
        or("ALLOW_PASSWORD_GRANT", "true".to_owned()),
        or("MAIL_URL", format!("file:{}", folder.mail().display())),
    ]);
    Ok(variables)
}

/// Opens the shop to look at, or completes it.
async fn seed_demo(variables: &Variables) -> Result<()> {
    let app = App::new(Config::from_lookup(|name| variables.get(name).cloned())?)?;
    let owner = demo::owner(&app).await?;
    if let Some(password) = owner.password {
        let told = format!("{}, password {password} (shown only now)", demo::OWNER);
        console::done("demo owner", told);
    }
    let step = console::step("demo");
    step.done(demo::stock(&app, owner.id).await?);
    Ok(())
}

async fn start_watch(
    options: &Options,
    root: &Path,
    folder: &Folder,
    family: Family,
    template: &Template,
    variables: &Variables,
) -> Result<Watch> {
    let profile = if options.release {
        Profile::Release
    } else {
        Profile::Debug
    };
    let step = console::step("cargo-lambda");
    let tool =
        cargo_lambda::find_or_install(&family, &folder.tools(), |text| step.say(text)).await?;
    step.done(format!("{} at {}", tool.version, tool.program.display()));

    console::begin("Building the functions");
    watch::build(&family, root, template, profile).await?;
    console::done("build", "the functions are up to date");

    let logs = if options.json_logs {
        Logs::Json
    } else {
        Logs::Readable
    };
    let port = options.port;
    let watch = Watch::start(family, &tool, root, port, profile, variables, logs).await?;
    let silent = watch.warm(template).await;
    if silent.is_empty() {
        console::done("functions", "all answer");
    } else {
        console::note(&format!(
            "No answer yet from: {}. Their log may say why.",
            silent.join(", ")
        ));
    }
    Ok(watch)
}

/// Starts a task for each trigger and each schedule of the template, and one that tells of the mails that come of it.
async fn start_pump(
    options: &Options,
    folder: &Folder,
    template: &Template,
    aws: &LocalAws,
    references: &References,
) -> Result<JoinSet<Infallible>> {
    let sqs = sqs_client(aws.sqs_url());
    let queue_url = |id: &String| {
        let url = references.get(id);
        url.cloned()
            .with_context(|| format!("the queue {id} was not made"))
    };
    let mut pump = JoinSet::new();
    pump.spawn(mail::report_new(folder.mail(), |text| {
        console::row("mail", text);
    }));
    for function in &template.functions {
        for trigger in &function.triggers {
            let source = Source::new(&sqs, &queue_url(&trigger.queue)?, trigger).await?;
            let lambda = format!("http://127.0.0.1:{}", options.port);
            let timeout = Duration::from_secs(function.timeout_seconds.into()) + COMPILING;
            let invoke = pump::function(&lambda, &function.name, timeout);
            let (sqs, name, port) = (sqs.clone(), function.name.clone(), options.port);
            pump.spawn(async move {
                let report = |text: &str| console::note(&format!("{name}: {text}"));
                pump::run(&sqs, &source, || listening(port), invoke, report).await
            });
        }
    }
    for schedule in &template.schedules {
        let (sqs, url) = (sqs.clone(), queue_url(&schedule.queue)?);
        let schedule = schedule.clone();
        pump.spawn(async move {
            let report = |text: &str| console::note(&format!("{}: {text}", schedule.id));
            pump::run_schedule(&sqs, &schedule.timing, &url, &schedule.input, report).await
        });
    }
    Ok(pump)
}

/// Waits until something listens where the functions are to be: with `--no-watch` they may never be.
async fn listening(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn print_addresses(options: &Options, folder: &Folder, aws: &LocalAws) {
    println!();
    if !options.no_watch {
        console::row("API", format!("http://127.0.0.1:{}", options.port));
    }
    console::row("DynamoDB", aws.dynamodb_url());
    console::row("SQS", aws.sqs_url());
    console::row("S3", aws.s3_url());
    console::row("mails", folder.mail().display());
    println!();
    println!("  Ctrl-C stops everything.");
    println!();
}

/// What to paste so that `cargo lambda watch` finds the local AWS.
fn print_exports(options: &Options, variables: &Variables) {
    println!("  In another terminal, to run the functions by hand:");
    println!();
    for (name, value) in variables {
        println!("export {name}='{}'", value.replace('\'', r"'\''"));
    }
    for name in environment::FOREIGN {
        println!("unset {name}");
    }
    println!(
        "cargo lambda watch --invoke-address 127.0.0.1 --invoke-port {} --disable-cors",
        options.port
    );
    println!();
}

/// Ends when the terminal or the system asks this process to.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
