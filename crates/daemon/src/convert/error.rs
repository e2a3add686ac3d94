//! Errors of the rooms below as refusals.

use hyper::StatusCode;

use crate::http::{Refusal, status_of};

impl From<engine::Error> for Refusal {
    fn from(error: engine::Error) -> Self {
        let status = match &error {
            engine::Error::NotModified(_) => StatusCode::NOT_MODIFIED,
            // The program named by the caller cannot be run: the request was wrong.
            engine::Error::StartFailed { exit_code: 126 | 127, .. } => StatusCode::BAD_REQUEST,
            _ => status_of(error.kind()),
        };
        Self::new(status, stdx::chain(&error))
    }
}

impl From<docker_api::FiltersError> for Refusal {
    fn from(error: docker_api::FiltersError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<oci::ReferenceError> for Refusal {
    fn from(error: oci::ReferenceError) -> Self {
        Self::invalid(format!("invalid reference format: {error}"))
    }
}

impl From<oci::PlatformError> for Refusal {
    fn from(error: oci::PlatformError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use engine::Error;
    use hyper::StatusCode;

    use crate::http::Refusal;

    #[test]
    fn kinds_become_statuses() {
        for (error, status) in [
            (Error::NoSuchContainer("x".into()), 404),
            (Error::Conflict("running".into()), 409),
            (Error::NotModified(String::new()), 304),
            (Error::Unsupported("no".into()), 501),
            (Error::ShuttingDown, 503),
            (
                Error::StartFailed {
                    message: "exec: \"x\": not found".into(),
                    exit_code: 127,
                    kind: stdx::ErrorKind::NotFound,
                },
                400,
            ),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!(refusal.status, StatusCode::from_u16(status).unwrap(), "{refusal:?}");
        }
    }
}
