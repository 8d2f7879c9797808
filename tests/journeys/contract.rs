//! The public API as a contract: the routes are those of the served document, and what is promised for every route is asked of each.

mod bodies;
mod callers;
mod examples;
mod headers;
mod interrupted;
mod origins;
mod routes;
mod texts;

use std::cell::{Cell, RefCell};

use reqwest::{Method, blocking::RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{App, PASSWORD, Reply, Shape},
    signals::everything_told,
};

/// A route and a method of the document.
#[derive(Clone, Debug)]
struct Operation {
    method: Method,
    /// As the document has it: `/api/musics/{id}`.
    route: String,
    /// Whether nobody has to be signed in.
    open: bool,
    /// The type of its body.
    body: Option<String>,
    /// The names of what may stand behind the `?`.
    parameters: Vec<String>,
}

impl Operation {
    /// `GET /api/musics/{id}`.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.route)
    }

    fn is_unsafe(&self) -> bool {
        !self.method.is_safe()
    }
}

/// What a document lists.
fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("the document has paths");
    let all = paths.iter().flat_map(|(route, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            let content = operation["requestBody"]["content"].as_object();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.filter(|it| it["in"] == "query");
            Operation {
                method: method.to_uppercase().parse().unwrap(),
                route: route.clone(),
                open: operation["security"].is_array(),
                body: content.and_then(|it| it.keys().next().cloned()),
                parameters: parameters.map(|it| it["name"].as_str().unwrap().to_owned()).collect(),
            }
        })
    });
    all.collect()
}

/// The program in one process, with Ada, who has something of everything, and Ben, who looks at it.
struct World {
    app: App,
    operations: Vec<Operation>,
    ada: String,
    ben: String,
    /// A song that Ada has added.
    music: Value,
    /// A token of hers that she does not use.
    token: Value,
    /// Counts what has to have a name of its own.
    fresh: Cell<u32>,
    /// What no signal may tell.
    secrets: RefCell<Vec<String>>,
}

impl World {
    fn start() -> World {
        let app = App::start_sqlite(Shape::One);
        let document = app.get("/openapi.json", "");
        assert_eq!(document.status, 200, "{document:?}");
        let operations = operations(&document.json);
        let (ada, ben) = (app.someone("ada"), app.someone("ben"));
        let song = json!({"title": "Tide", "artist": "Ada", "duration_ms": 181_000});
        let music = app.post("/api/musics/", &ada, song).json["id"].clone();
        let path = format!("/api/users/{music}/add_fav_music/");
        assert_eq!(app.call(Method::POST, &path, &ada, None).status, 200);
        let made = app.post("/api/tokens/", &ada, json!({"name": "unused"}));
        let secret = made.json["token"].as_str().unwrap().to_owned();
        let secrets = vec![
            PASSWORD.into(),
            "@example.net".into(),
            "ben@example.org".into(),
            ada.clone(),
            ben.clone(),
            secret,
        ];
        let (token, fresh) = (made.json["id"].clone(), Cell::new(0));
        World { app, operations, ada, ben, music, token, fresh, secrets: RefCell::new(secrets) }
    }

    fn keep_secret(&self, secret: &str) {
        self.secrets.borrow_mut().push(secret.to_owned());
    }

    fn operation(&self, name: &str) -> &Operation {
        let found = self.operations.iter().find(|it| it.name() == name);
        found.unwrap_or_else(|| panic!("the document has no {name}"))
    }

    /// The operation at what Ada has, with a body that would be accepted from her, and a page of the same origin around it.
    fn request(&self, operation: &Operation) -> RequestBuilder {
        let request = self.bare(operation).header("sec-fetch-site", "same-origin");
        match operation.body.as_deref() {
            Some("text/csv") => request
                .header("content-type", "text/csv")
                .body(format!("title,artist\nMoor {},Fen\n", self.fresh())),
            Some(_) => request.json(&self.body(&operation.name())),
            None => request,
        }
    }

    /// Without a body and without headers.
    fn bare(&self, operation: &Operation) -> RequestBuilder {
        let id = match &operation.route {
            route if route.starts_with("/api/musics/") => &self.music,
            route if route.starts_with("/api/tokens/") => &self.token,
            _ => &json!(1), // Ada
        };
        let path = operation.route.replace("{id}", &id.to_string());
        let url = format!("{}{path}", self.app.url("gateway", "api"));
        self.app.client().request(operation.method.clone(), url)
    }

    fn body(&self, operation: &str) -> Value {
        let person = |name: &str| json!({"username": name, "email": format!("{name}@example.net"), "password": PASSWORD});
        match operation {
            "POST /api/users" => person(&format!("somebody{}", self.fresh())),
            "PUT /api/users/{id}" => person("ada"),
            "PATCH /api/users/{id}" => json!({"email": "ada@example.net"}),
            "POST /api-token-auth" | "POST /api/session" => {
                json!({"username": "ben", "password": PASSWORD})
            }
            "POST /api/tokens" => json!({"name": "laptop"}),
            "POST /api/musics" | "PUT /api/musics/{id}" => {
                json!({"title": "Tide", "artist": "Ada", "duration_ms": 181_000})
            }
            "PATCH /api/musics/{id}" => json!({"title": "Tide"}),
            "POST /api/users/{id}/add_fav_music" | "DELETE /api/users/{id}/remove_fav_music" => {
                json!({"music": self.music})
            }
            other => panic!("{other} takes JSON, and this test does not know which"),
        }
    }

    fn send(&self, request: RequestBuilder) -> Reply {
        let reply = Reply::to(request);
        if let Some(token) = reply.json["token"].as_str() {
            self.keep_secret(token);
        }
        for cookie in reply.headers("set-cookie") {
            let value = cookie.split([';', '=']).nth(1).unwrap();
            if !value.is_empty() {
                self.keep_secret(value); // it is empty where a session is over
            }
        }
        reply
    }

    /// With a token in the header.
    fn by(&self, token: &str, request: RequestBuilder) -> Reply {
        self.send(request.header("authorization", format!("Token {token}")))
    }

    fn fresh(&self) -> u32 {
        self.fresh.set(self.fresh.get() + 1);
        self.fresh.get()
    }

    /// The cookie of a new session.
    fn session(&self, username: &str) -> String {
        let who = json!({"username": username, "password": PASSWORD});
        let reply = self.send(self.bare(self.operation("POST /api/session")).json(&who));
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookies = reply.headers("set-cookie");
        let session = cookies.iter().find(|it| it.starts_with("__Host-session=")).unwrap();
        session.split(';').next().unwrap().to_owned()
    }

    /// What Ada has, as she sees it.
    fn belongings(&self) -> Value {
        let of = |path: &str| {
            let reply = self.app.get(path, &self.ada);
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            reply.json
        };
        let tokens = of("/api/tokens/"); // without their last use
        let tokens: Vec<_> =
            tokens.as_array().unwrap().iter().map(|it| [&it["id"], &it["name"]]).collect();
        let kept = of("/api/users/1/favourites/");
        let songs = of("/api/musics/?created_by=ada&limit=500");
        json!([of("/api/users/1/"), tokens, kept, songs, of("/api/export?format=json")])
    }

    /// That no password, token, cookie or address is in what the program said about all this.
    fn nothing_was_told(&self) {
        let last = self.app.get("/api/musics/?limit=1", &self.ada);
        let everything = everything_told(&self.app, &last);
        for secret in self.secrets.borrow().iter() {
            let found = everything.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret}");
        }
    }
}
