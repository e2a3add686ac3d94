//! `brig inspect`, and what every `inspect` does.

use clap::{Parser, ValueEnum};
use docker_api::{Client, Query};

use super::{Execute, Exit, document_format};
use crate::error::{Error, Result};
use crate::output::template::{Functions, Template, Value};
use crate::output::{self, json};
use crate::session::Session;

/// Return low-level information on objects (containers, images, networks, volumes)
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_enum)]
    kind: Option<TypeName>,
    /// Names or ids
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TypeName {
    Container,
    Image,
    Network,
    Volume,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A container, with its sizes.
    Container { size: bool },
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl Kind {
    async fn read(self, client: &Client, name: &str) -> docker_api::Result<Value> {
        let name = Query::segment(name);
        let (path, query) = match self {
            Self::Container { size } => (
                format!("/containers/{}/json", name.replace('/', "%2F")),
                Query::new().flag("size", size),
            ),
            Self::Image => (format!("/images/{name}/json"), Query::new()),
            Self::Network => (format!("/networks/{name}"), Query::new()),
            Self::Volume => (format!("/volumes/{name}"), Query::new()),
        };
        client.get(&path, &query).await
    }
}

impl Execute for Inspect {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let container = Kind::Container { size: self.size };
        let kinds = match self.kind {
            None => vec![container, Kind::Image, Kind::Network, Kind::Volume],
            Some(TypeName::Container) => vec![container],
            Some(TypeName::Image) => vec![Kind::Image],
            Some(TypeName::Network) => vec![Kind::Network],
            Some(TypeName::Volume) => vec![Kind::Volume],
        };
        print(session, &self.names, &kinds, self.format.as_deref()).await
    }
}

/// Prints each object: all in one array, or each by the template.
///
/// # Errors
/// Objects that are not found, after the others have been printed; a wrong template.
pub(super) async fn print(
    session: &Session,
    names: &[String],
    kinds: &[Kind],
    format: Option<&str>,
) -> Result<Exit> {
    let template = document_format::template(format.filter(|format| *format != "json"))?;
    let client = session.client().await?;
    let mut documents = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match find(client, name, kinds).await {
            Ok(document) => documents.push(document),
            Err(error) => failures.push(error),
        }
    }
    let text = match (&template, format) {
        (Some(template), _) => rendered(template, &documents)?,
        (None, Some("json")) => compact(&documents),
        _ => json::indented_list(&documents) + "\n",
    };
    output::write(&text)?;
    Error::all(&failures)?;
    Ok(Exit::SUCCESS)
}

async fn find(client: &Client, name: &str, kinds: &[Kind]) -> Result<Value> {
    for kind in kinds {
        match kind.read(client, name).await {
            Ok(document) => return Ok(document),
            Err(error) if error.status() == Some(404) && kinds.len() > 1 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::State(format!("Error: No such object: {name}")))
}

fn rendered(template: &Template, documents: &[Value]) -> Result<String> {
    let mut text = String::new();
    for document in documents {
        match template.render(document, Functions::Usual) {
            Ok(rendered) => text.push_str(&rendered),
            Err(error) => {
                // Docker ends the line of a document that it cannot render.
                output::write(&format!("{text}\n"))?;
                return Err(error.into());
            }
        }
        text.push('\n');
    }
    Ok(text)
}

fn compact(documents: &[Value]) -> String {
    use crate::output::template::{Escape, json_text};
    let texts: Vec<String> =
        documents.iter().map(|document| json_text(document, Escape::Plain)).collect();
    format!("[{}]\n", texts.join(","))
}
