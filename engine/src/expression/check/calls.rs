//! Calls: functions, methods, and what looks like one.

use cel_core::{Expr, SpannedExpr};

use super::super::functions::{self, NAMESPACES, Signature, regexes};
use super::super::nearest::did_you_mean;
use super::super::node::{Call, Kind, Node};
use super::super::{Problem, Type};
use super::{Checker, Typed, macros, mixing_hint, node, open};

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        tree: &SpannedExpr,
        callee: &SpannedExpr,
        args: &[SpannedExpr],
    ) -> Typed {
        match &callee.node {
            Expr::Ident(name) if name == "has" => self.has(tree, args),
            Expr::Ident(name) => self.function(tree, name, args),
            Expr::Member {
                expr,
                field,
                optional: false,
            } => match self.namespace(expr) {
                Some("cel") => self.refused(
                    tree,
                    &format!("`cel.{field}` is not supported"),
                    "use vars for what is needed twice",
                ),
                Some(space) => self.function(tree, &format!("{space}.{field}"), args),
                None => self.method(tree, expr, field, args),
            },
            _ => self.refused(tree, "only functions can be called", "write f(x) or x.f()"),
        }
    }

    /// The word before the point where it is no name in scope: `math` of `math.abs(x)`.
    fn namespace(&self, tree: &SpannedExpr) -> Option<&'static str> {
        let Expr::Ident(word) = &tree.node else {
            return None;
        };
        if self.scope.get(word).is_some() || self.local(word).is_some() {
            return None;
        }
        NAMESPACES
            .into_iter()
            .chain(["cel"])
            .find(|space| space == word)
    }

    fn function(&mut self, tree: &SpannedExpr, name: &str, args: &[SpannedExpr]) -> Typed {
        let quotes = name == "strings.quote";
        self.quoted += usize::from(quotes);
        let args: Vec<Typed> = args.iter().map(|arg| self.check(arg)).collect();
        self.quoted -= usize::from(quotes);
        self.resolve(tree, name, false, args)
    }

    fn method(
        &mut self,
        tree: &SpannedExpr,
        of: &SpannedExpr,
        name: &str,
        args: &[SpannedExpr],
    ) -> Typed {
        if let Some(typed) = self.comprehension(tree, of, name, args) {
            return typed;
        }
        let mut all = vec![self.check(of)];
        all.extend(args.iter().map(|arg| self.check(arg)));
        if let ("matches", [pattern]) = (name, args) {
            return self.matches(tree, pattern, all);
        }
        self.resolve(tree, name, true, all)
    }

    /// A pattern that stands there is made once, and a mistake in it is found now.
    fn matches(&mut self, tree: &SpannedExpr, pattern: &SpannedExpr, args: Vec<Typed>) -> Typed {
        let Expr::String(text) = &pattern.node else {
            return self.resolve(tree, "matches", true, args);
        };
        match regexes::compile(text) {
            Err(message) => self.refuse(tree, Problem::new(pattern.span.clone(), message)),
            Ok(regex) => {
                let resolved = self.resolve(tree, "matches", true, args);
                let Kind::Call(mut call) = resolved.0.kind else {
                    return resolved;
                };
                let of = Box::new(call.args.swap_remove(0));
                (node(tree, Kind::Matches(of, Box::new(regex))), resolved.1)
            }
        }
    }

    /// Finds the ways to call `name` that these types allow.
    pub(super) fn resolve(
        &mut self,
        tree: &SpannedExpr,
        name: &str,
        method: bool,
        args: Vec<Typed>,
    ) -> Typed {
        let (nodes, types): (Vec<Node>, Vec<Type>) = args.into_iter().unzip();
        let named: Vec<&'static Signature> = functions::all()
            .filter(|signature| signature.name == name && signature.method == method)
            .collect();
        let mut result: Option<Option<Type>> = None;
        let mut candidates = Vec::new();
        for signature in &named {
            if let Some(ty) = signature.check(&types) {
                candidates.push(*signature);
                result = Some(match result {
                    None => Some(ty),
                    Some(before) => before.and_then(|before| before.join(&ty)),
                });
            }
        }
        if candidates.is_empty() {
            let problem = self.uncallable(tree, name, &named, &types);
            return self.refuse(tree, problem);
        }
        let call = Call {
            name: name.to_owned(),
            args: nodes,
            candidates,
        };
        (
            node(tree, Kind::Call(call)),
            result.flatten().unwrap_or_default(),
        )
    }

    fn uncallable(
        &self,
        tree: &SpannedExpr,
        name: &str,
        named: &[&Signature],
        types: &[Type],
    ) -> Problem {
        let span = tree.span.clone();
        let Some(first) = named.first() else {
            return self.unknown_function(tree, name, types);
        };
        let receiver = usize::from(first.method);
        let mut counts: Vec<usize> = named
            .iter()
            .map(|signature| signature.params.len() - receiver)
            .collect();
        counts.sort_unstable();
        counts.dedup();
        let given = types.len() - receiver.min(types.len());
        if !counts.contains(&given) {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            let message = format!(
                "`{name}` takes {} arguments, not {given}",
                counts.join(" or ")
            );
            return Problem::new(span, message);
        }
        let shown: Vec<String> = types.iter().map(Type::to_string).collect();
        let problem = Problem::new(
            span,
            format!("`{name}` does not take ({})", shown.join(", ")),
        );
        let mixed = match types {
            [a, b] => mixing_hint(a, b),
            _ => None,
        };
        match mixed {
            Some(hint) => problem.hint(hint),
            None if matches!(types.first().map(open), Some((_, true))) => {
                problem.hint("say what holds when it is absent: .orValue(…)")
            }
            None => problem,
        }
    }

    fn unknown_function(&self, tree: &SpannedExpr, name: &str, types: &[Type]) -> Problem {
        let problem = Problem::new(tree.span.clone(), format!("unknown function `{name}`"));
        let arity = types.len();
        if functions::all().any(|s| s.name == name && s.method && s.params.len() == arity) {
            return problem.hint(format!("it is called on a value: x.{name}(…)"));
        }
        if functions::all().any(|s| s.name == name && !s.method) {
            return problem.hint(format!("it is called with the value: {name}(x)"));
        }
        let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
        if let Some(known) = functions::all().find(|s| s.name != name && last(s.name) == name) {
            return problem.hint(format!("did you mean `{}`?", known.name));
        }
        let known = functions::all().map(|signature| signature.name);
        match did_you_mean(name, known.chain(macros::NAMES)) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}
