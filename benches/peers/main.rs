//! Side by side with what one would use instead: ratios from one run on one machine.
//! Every figure is the median of interleaved rounds; server and client have a core each.
//! Run by `make bench`, which installs the peers.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "without a peer there is nothing to compare")]

mod breaker;
mod breaker_run;
mod floor;
mod jobs;
mod load;
mod load_http2;
mod lock;
mod process;
mod scale;
mod serve;
mod startup;
mod tls;
mod tls_fleet;

/// One comparison.
struct Row {
    what: &'static str,
    unit: &'static str,
    ours: f64,
    peer: &'static str,
    theirs: f64,
    goal: Goal,
}

/// What the ratio ours / theirs should be.
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// No goal: it shows what the machine leaves to be gained.
    Context,
}

impl Row {
    fn print(&self) {
        let ratio = self.ours / self.theirs;
        let (goal, met) = match self.goal {
            Goal::AtLeast(bound) => (format!(">= {bound}"), Some(ratio >= bound)),
            Goal::AtMost(bound) => (format!("<= {bound}"), Some(ratio <= bound)),
            Goal::Context => (String::new(), None),
        };
        let met = met.map_or("", |met| if met { "yes" } else { "no" });
        let (what, unit, peer) = (self.what, self.unit, self.peer);
        let (ours, theirs, ratio) = (figure(self.ours), figure(self.theirs), figure(ratio));
        println!("| {what} | {unit} | {ours} | {peer} | {theirs} | {ratio} | {goal} | {met} |");
    }
}

/// Three significant digits, thousands apart.
fn figure(value: f64) -> String {
    match value {
        v if v >= 1000.0 => {
            let rounded = (v / 10f64.powi(v.log10() as i32 - 2)).round() * 10f64.powi(v.log10() as i32 - 2);
            let digits = format!("{rounded:.0}");
            let (head, tail) = digits.split_at(digits.len() - 3);
            format!("{head} {tail}")
        }
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [first, port] = arguments.as_slice()
        && first == "floor"
    {
        floor::run(port.parse().expect("a port")).expect("epoll");
        return;
    }
    if let [first, port] = arguments.as_slice()
        && first == "load-floor"
    {
        load::run_floor(port.parse().expect("a port"));
        return;
    }
    // `cargo bench --bench peers -- lock startup` for some of them.
    let wanted = |group: &str| arguments.is_empty() || arguments.iter().any(|word| word == group);
    println!("\nMachine: {}\n", process::machine());
    println!("| what | unit | hardy | against | theirs | ratio | goal | met |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    if wanted("serve") {
        rows.extend(serve::rows());
    }
    if wanted("breaker") {
        rows.push(breaker::row());
    }
    if wanted("breaker_run") {
        rows.extend(breaker_run::rows());
    }
    if wanted("startup") {
        rows.push(startup::row());
    }
    if wanted("lock") {
        rows.extend(lock::rows());
    }
    if wanted("load") {
        rows.extend(load::rows());
    }
    if wanted("load_http2") {
        rows.extend(load_http2::rows());
    }
    if wanted("jobs") {
        rows.extend(jobs::rows());
    }
    if wanted("tls") {
        rows.extend(tls::rows());
    }
    rows.iter().for_each(Row::print);
    println!("\n| what | measured | goal |");
    println!("|---|---|---|");
    if wanted("scale") {
        scale::print();
    }
    if wanted("tls_fleet") {
        tls_fleet::print();
    }
    if wanted("lock") {
        lock::print_queues();
    }
}
