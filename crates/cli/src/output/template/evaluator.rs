//! Nodes + a value → text.

use super::function::{self, Functions};
use super::parser::{Branch, Command, Node, Operand, Pipeline, Term};
use super::{Error, Failure, Value, go_text};

/// Fields that Docker's types have but its JSON leaves out when empty: absent means nil.
const OPTIONAL: &[&str] = &[
    "Health",
    "Healthcheck",
    "HealthCheck",
    "ExposedPorts",
    "Volumes",
    "OnBuild",
    "Shell",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "MacAddress",
    "Domainname",
    "GraphDriver",
    "SizeRw",
    "SizeRootFs",
    "Options",
    "Scope",
    "UsageData",
    "Status",
    "Descriptor",
    "ImageManifestDescriptor",
    "Mounts",
    "Init",
    "Annotations",
    "Error",
    "Comment",
    "Author",
    "Parent",
    "Variant",
];

/// Fields that are slices in Docker's types: their `null` is printed as `[]`.
const LISTS: &[&str] = &[
    "Env",
    "Cmd",
    "Entrypoint",
    "OnBuild",
    "Shell",
    "Binds",
    "VolumesFrom",
    "CapAdd",
    "CapDrop",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "SecurityOpt",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Ulimits",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "MaskedPaths",
    "ReadonlyPaths",
    "ExecIDs",
    "Mounts",
    "RepoTags",
    "RepoDigests",
    "Aliases",
    "DNSNames",
    "Warnings",
];

/// Fields that are maps in Docker's types: their `null` is printed as `map[]`.
const MAPS: &[&str] = &[
    "Labels",
    "Volumes",
    "ExposedPorts",
    "Options",
    "DriverOpts",
    "PortBindings",
    "Sysctls",
    "Tmpfs",
    "StorageOpt",
    "Annotations",
    "Ports",
    "Networks",
];

/// The longest text a template may make, in bytes: a loop over a loop stays harmless.
const MAX_OUTPUT: usize = 64 << 20;

/// Renders all nodes.
pub(super) fn render(nodes: &[Node], root: &Value, functions: Functions) -> Result<String, Error> {
    let variables = vec![(String::new(), root.clone())];
    let mut evaluator = Evaluator { functions, variables, output: String::new() };
    evaluator.nodes(nodes, root)?;
    Ok(evaluator.output)
}

/// Whether a list of nodes ran to its end.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Evaluator {
    functions: Functions,
    /// Innermost last; the first is `$`.
    variables: Vec<(String, Value)>,
    output: String,
}

impl Evaluator {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Error> {
        let depth = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(depth);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value, pipeline)?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value, pipeline: &Pipeline) -> Result<(), Error> {
        if self.output.len() > MAX_OUTPUT {
            return Err(fail(pipeline.first(), Failure::new("the text grows too long")));
        }
        if let Some(empty) = pipeline.empty_collection(value) {
            self.output.push_str(empty);
        } else if let Value::Method(method) = value {
            let value = method.call(&[]).map_err(|failure| fail(pipeline.first(), failure))?;
            self.output.push_str(&go_text(&value));
        } else {
            self.output.push_str(&go_text(value));
        }
        Ok(())
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, rebinds: bool) -> Result<Flow, Error> {
        let depth = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if value.is_true() {
            self.nodes(&branch.then, if rebinds { &value } else { dot })
        } else {
            self.nodes(&branch.otherwise, dot)
        };
        self.variables.truncate(depth);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<(), Error> {
        let depth = self.variables.len();
        let value = self.evaluate(&branch.pipeline, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::Nil => Vec::new(),
            Value::List(values) => {
                values.into_iter().zip(0..).map(|(v, i)| (Value::Int(i), v)).collect()
            }
            Value::Map(map) => {
                let mut fields: Vec<(String, Value)> =
                    map.fields().map(|(k, v)| (k.to_owned(), v.clone())).collect();
                fields.sort_by(|left, right| left.0.cmp(&right.0));
                fields.into_iter().map(|(k, v)| (Value::Text(k), v)).collect()
            }
            other => {
                let message = format!("range can't iterate over {}", go_text(&other));
                return Err(fail(branch.pipeline.first(), Failure::new(message)));
            }
        };
        if items.is_empty() {
            self.nodes(&branch.otherwise, dot)?;
        }
        for (key, item) in items {
            self.variables.truncate(depth);
            self.bind_item(&branch.pipeline, key, &item);
            if self.nodes(&branch.then, &item)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(depth);
        Ok(())
    }

    fn bind_item(&mut self, pipeline: &Pipeline, key: Value, item: &Value) {
        match pipeline.variables.as_slice() {
            [value] => self.variables.push((value.clone(), item.clone())),
            [index, value] => {
                self.variables.push((index.clone(), key));
                self.variables.push((value.clone(), item.clone()));
            }
            _ => {}
        }
    }

    /// The value of a pipeline, bound to its variable if it has one.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let value = self.evaluate(pipeline, dot)?;
        let Some(name) = pipeline.variables.first() else { return Ok(value) };
        if pipeline.declares {
            self.variables.push((name.clone(), value.clone()));
            return Ok(value);
        }
        let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| known == name)
        else {
            return Err(fail(
                pipeline.first(),
                Failure::new(format!("undefined variable: ${name}")),
            ));
        };
        variable.1 = value.clone();
        Ok(value)
    }

    fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let mut carried = None;
        for command in &pipeline.commands {
            carried = Some(self.command(command, dot, carried)?);
        }
        Ok(carried.unwrap_or_default())
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        carried: Option<Value>,
    ) -> Result<Value, Error> {
        let Some((first, arguments)) = command.operands.split_first() else {
            return Ok(Value::Nil);
        };
        if let Term::Function(name) = &first.term {
            let value = self.function(name, first, arguments, dot, carried)?;
            return follow(value, &first.fields).map_err(|failure| fail(Some(first), failure));
        }
        let value = self.operand(first, dot)?;
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.argument(argument, dot)?);
        }
        values.extend(carried);
        match value {
            Value::Method(method) => {
                method.call(&values).map_err(|failure| fail(Some(first), failure))
            }
            value if values.is_empty() => Ok(value),
            _ => {
                let name = first.source();
                let name = name.rsplit('.').next().unwrap_or_default();
                let message = format!("{name} is not a method but has arguments");
                Err(fail(Some(first), Failure::new(message)))
            }
        }
    }

    fn function(
        &mut self,
        name: &str,
        operand: &Operand,
        arguments: &[Operand],
        dot: &Value,
        carried: Option<Value>,
    ) -> Result<Value, Error> {
        let stops_at = match name {
            "and" => Some(false),
            "or" => Some(true),
            _ => None,
        };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            let value = self.argument(argument, dot)?;
            if stops_at == Some(value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(carried);
        function::call(name, values, self.functions).map_err(|failure| fail(Some(operand), failure))
    }

    /// An operand in the place of an argument: a function or method there is called with none.
    fn argument(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        let value = if let Term::Function(name) = &operand.term {
            let value = self.function(name, operand, &[], dot, None)?;
            follow(value, &operand.fields).map_err(|failure| fail(Some(operand), failure))?
        } else {
            self.operand(operand, dot)?
        };
        match value {
            Value::Method(method) => {
                method.call(&[]).map_err(|failure| fail(Some(operand), failure))
            }
            value => Ok(value),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Literal(value) => value.clone(),
            Term::Parenthesized(pipeline) => self.pipeline(pipeline, dot)?,
            Term::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map(|(_, value)| value.clone()).ok_or_else(|| {
                    fail(Some(operand), Failure::new(format!("undefined variable \"${name}\"")))
                })?
            }
            Term::Function(_) => Value::Nil,
        };
        follow(value, &operand.fields).map_err(|failure| fail(Some(operand), failure))
    }
}

impl Pipeline {
    /// What Go prints of a nil slice or map, when the pipeline is the name of one.
    fn empty_collection(&self, value: &Value) -> Option<&'static str> {
        let [command] = self.commands.as_slice() else { return None };
        let [operand] = command.operands.as_slice() else { return None };
        let name = operand.fields.last().filter(|_| matches!(value, Value::Nil))?;
        if LISTS.contains(&name.as_str()) {
            Some("[]")
        } else if MAPS.contains(&name.as_str()) {
            Some("map[]")
        } else {
            None
        }
    }

    fn first(&self) -> Option<&Operand> {
        self.commands.first().and_then(|command| command.operands.first())
    }
}

fn fail(operand: Option<&Operand>, failure: Failure) -> Error {
    let position = operand.map(|operand| operand.position).unwrap_or_default();
    Error::execute(position, &operand.map(Operand::source).unwrap_or_default(), failure)
}

/// Follows `.A.B` from a value.
fn follow(mut value: Value, fields: &[String]) -> Result<Value, Failure> {
    for name in fields {
        value = field(&value, name)?;
    }
    Ok(value)
}

fn field(value: &Value, name: &str) -> Result<Value, Failure> {
    match value {
        Value::Map(map) => {
            if let Some(found) = map.get(name) {
                return Ok(found.clone());
            }
            if map.is_row() {
                let fields: Vec<&str> = map.names().collect();
                return Err(Failure::with_hint(
                    format!("can't evaluate field {name}"),
                    format!("the fields are {}", fields.join(", ")),
                ));
            }
            if let Some(found) = map.get_any_case(name) {
                return Ok(found.clone());
            }
            if OPTIONAL.contains(&name) {
                return Ok(Value::Nil);
            }
            Err(Failure::new(format!("map has no entry for key {name:?}")))
        }
        Value::Nil => Err(Failure::new(format!("nil pointer evaluating interface {{}}.{name}"))),
        other => {
            Err(Failure::new(format!("can't evaluate field {name} in type {}", other.type_name())))
        }
    }
}
