//! The one credential of console and query APIs, where one is set: a token from a file, for who reaches them from other machines.
//!
//! Programs send it as `Authorization: Bearer`, browsers ask for it as the password of any user.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, bail};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use platform::problem::Problem;
use sha2::{Digest, Sha256};

/// Shorter ones can be guessed by a program.
const SHORTEST: usize = 16;

/// The SHA-256 of the token: comparing two of these tells nothing about it, however long it takes.
#[derive(Clone)]
pub(crate) struct Credential(Arc<[u8; 32]>);

impl Credential {
    /// # Errors
    /// One sentence, when the file cannot be read or holds less than 16 characters.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Credential> {
        let shown = path.display();
        let token = fs::read_to_string(path)
            .with_context(|| format!("the console's token {shown} cannot be read"))?;
        let token = token.trim();
        if token.chars().count() < SHORTEST {
            bail!(
                "the console's token {shown} has less than {SHORTEST} characters; make a random one, such as by \
                 `openssl rand -hex 16`"
            );
        }
        Ok(Credential(Arc::new(Sha256::digest(token).into())))
    }

    /// Refuses requests without it, with 401.
    pub(crate) fn demanded_by(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, check))
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, given)) = header.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let token = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(given.trim().to_owned()),
            "basic" => {
                let pair =
                    STANDARD.decode(given.trim()).ok().and_then(|it| String::from_utf8(it).ok());
                pair.and_then(|pair| Some(pair.split_once(':')?.1.to_owned()))
            }
            _ => None,
        };
        token.is_some_and(|token| Sha256::digest(token).as_slice() == self.0.as_slice())
    }
}

async fn check(State(credential): State<Credential>, request: Request, next: Next) -> Response {
    if credential.is_in(request.headers()) {
        return next.run(request).await;
    }
    let detail = "This needs the token of CONSOLE_TOKEN_FILE: as Authorization: Bearer, or as the password of any user.";
    Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", detail)
        .challenge("Basic realm=\"MusicWallet telemetry\", Bearer")
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[tokio::test]
    async fn who_has_the_token_is_let_in_and_nobody_else() {
        let credential = Credential::from_file(file(&format!("{TOKEN}\n")).path()).unwrap();
        let router = credential.demanded_by(Router::new().route("/", get(async || "traces")));
        let status = async |authorization: &str| {
            let request = Request::get("/").header(AUTHORIZATION, authorization);
            let request = request.body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        let basic =
            |password: &str| format!("Basic {}", STANDARD.encode(format!("ops:{password}")));
        assert_eq!(status(&format!("Bearer {TOKEN}")).await, 200);
        assert_eq!(status(&basic(TOKEN)).await, 200);
        for wrong in
            ["", "Bearer", "Bearer x", "Basic !", "Token 0123456789abcdef", &basic("x"), &basic("")]
        {
            assert_eq!(status(wrong).await, 401, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_read_is_refused_with_the_remedy() {
        let told = |path: &Path| format!("{:#}", Credential::from_file(path).err().unwrap());
        assert!(told(file("short").path()).contains("openssl rand"));
        assert!(told(Path::new("/nowhere/token")).contains("/nowhere/token"));
    }
}
