//! `vedette ca`: an authority of one's own, for the coordinator and for those who call it.
//!
//! Only files: the authority's key lies where it was made, and no daemon needs it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use wire::ingest::AgentId;

use crate::args::{CaCommand, CertificateRole};
use crate::output;
use crate::times::now_millis;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// Who is taken back, one a line.
const REVOKED: &str = "revoked";
const DAY: Duration = Duration::from_secs(86_400);

/// Does what was asked.
pub(crate) fn run(command: &CaCommand) -> anyhow::Result<()> {
    match command {
        CaCommand::Init { dir, lifetime } => init(dir, *lifetime),
        CaCommand::Issue {
            name,
            dir,
            role,
            host,
            lifetime,
        } => issue(dir, name, *role, host, *lifetime),
        CaCommand::Revoke { name, dir, reason } => revoke(dir, name, reason.as_deref()),
    }
}

fn init(dir: &Path, lifetime: Duration) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let key = KeyPair::generate().context("making a key")?;
    let mut params = params("vedette authority", lifetime)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).context("signing")?;
    write_new(&dir.join(KEY), &key.serialize_pem(), 0o600)?;
    write_new(&dir.join(CERTIFICATE), &certificate.pem(), 0o644)?;
    let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
    output::print(&format!(
        "{}  the authority: tls.client_ca of the coordinator, tls.ca of agents, --ca of vedette\n\
         {}  its key: keep it here and nowhere else\n",
        certificate.display(),
        key.display()
    ))?;
    Ok(())
}

fn issue(
    dir: &Path,
    name: &str,
    role: CertificateRole,
    hosts: &[String],
    lifetime: Duration,
) -> anyhow::Result<()> {
    let name = AgentId::try_from(name.to_owned())?;
    let name = name.as_str();
    anyhow::ensure!(name != "ca", "\"ca\" is the authority itself");
    let read = |file: &str| {
        let path = dir.join(file);
        std::fs::read_to_string(&path).with_context(|| {
            format!(
                "reading {}; `vedette ca init` makes an authority",
                path.display()
            )
        })
    };
    let (authority, authority_key) = (read(CERTIFICATE)?, read(KEY)?);
    let authority_key = KeyPair::from_pem(&authority_key).context("the authority's key")?;
    let issuer = Issuer::from_ca_cert_pem(&authority, authority_key);
    let issuer = issuer.context("the authority's certificate")?;
    let mut params = params(name, lifetime)?;
    if role != CertificateRole::Agent {
        let organization = format!("vedette:{}", role.as_str());
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !hosts.is_empty() {
        let names = CertificateParams::new(hosts.to_vec()).context("the hosts")?;
        params.subject_alt_names = names.subject_alt_names;
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    let key = KeyPair::generate().context("making a key")?;
    let certificate = params.signed_by(&key, &issuer).context("signing")?;
    let paths = ["pem", "key"].map(|end| dir.join(format!("{name}.{end}")));
    // A certificate is renewed by issuing it again.
    for path in &paths {
        drop(std::fs::remove_file(path));
    }
    write_new(&paths[1], &key.serialize_pem(), 0o600)?;
    write_new(&paths[0], &certificate.pem(), 0o644)?;
    let shown = paths.each_ref().map(|path| path.display().to_string());
    output::print(&format!("{}\n{}\n", shown[0], shown[1]))?;
    Ok(())
}

fn revoke(dir: &Path, name: &str, reason: Option<&str>) -> anyhow::Result<()> {
    let name = AgentId::try_from(name.to_owned())?;
    let reason = reason.unwrap_or_default();
    anyhow::ensure!(!reason.contains('\n'), "the reason has more than one line");
    let path = dir.join(REVOKED);
    let what = || format!("writing {}", path.display());
    let mut options = OpenOptions::new();
    let mut list = options
        .create(true)
        .append(true)
        .open(&path)
        .with_context(what)?;
    let at = Timestamp::from_millisecond(now_millis())?;
    let line = format!("{name} # {} {reason}", at.strftime("%F"));
    // A list that was written by hand may end within a line.
    let before = std::fs::read(&path).with_context(what)?;
    let begin = if before.last().is_none_or(|last| *last == b'\n') {
        ""
    } else {
        "\n"
    };
    writeln!(list, "{begin}{}", line.trim_end()).with_context(what)?;
    list.sync_all().with_context(what)?;
    output::print(&format!(
        "{}  tls.revoked of the coordinator: where it reads this file, {name} is cut off within seconds\n",
        path.display()
    ))?;
    Ok(())
}

/// A certificate of this subject, from yesterday, for clocks that are behind, to the end of its last day.
fn params(name: &str, lifetime: Duration) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("making a certificate")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = Timestamp::from_millisecond(now_millis())?;
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(now - DAY);
    let end = now
        .checked_add(lifetime)
        .and_then(|end| end.checked_add(DAY));
    params.not_after = day(end.context("the lifetime is too long")?);
    Ok(params)
}

/// Writes a file that is not there yet: a key is never overwritten.
fn write_new(path: &PathBuf, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(mode);
    let mut file = options
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}
