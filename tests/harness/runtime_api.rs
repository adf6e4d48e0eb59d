//! The Lambda Runtime API for one instance: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>
const REGISTERED: &str = "HTTP/1.1 200 OK\r\nlambda-extension-identifier: e\r\n\
     content-type: application/json\r\ncontent-length: 56\r\n\r\n\
     {\"functionName\":\"f\",\"functionVersion\":\"1\",\"handler\":\"h\"}";

#[derive(Debug)]
pub struct RuntimeApi {
    listener: TcpListener,
    connection: Option<BufReader<TcpStream>>,
    /// Those of the extension that instances register, which wait for events that never come.
    held: Vec<BufReader<TcpStream>>,
    invocations: u64,
}

impl RuntimeApi {
    pub async fn listen() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            connection: None,
            held: Vec::new(),
            invocations: 0,
        }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Waits until the instance asks for its next invocation.
    pub async fn polled(&mut self) {
        let (head, _) = self.request().await;
        assert!(
            head.starts_with("GET ") && head.contains("/invocation/next"),
            "{head}"
        );
    }

    /// Gives the instance an event, and waits for its answer and its next poll.
    pub async fn invoke(&mut self, event: &Value) -> Value {
        self.invocations += 1;
        let body = event.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             lambda-runtime-aws-request-id: {}\r\nlambda-runtime-deadline-ms: 9999999999999\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:1:function:f\r\n\
             lambda-runtime-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0\r\n\r\n",
            body.len(),
            self.invocations,
        );
        self.answer(&(head + &body)).await;
        let (head, answer) = self.request().await;
        assert!(
            head.starts_with("POST ") && head.contains("/response"),
            "{head}"
        );
        self.answer("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            .await;
        self.polled().await;
        serde_json::from_slice(&answer).unwrap()
    }

    async fn answer(&mut self, text: &str) {
        let connection = self.connection.as_mut().unwrap();
        connection
            .get_mut()
            .write_all(text.as_bytes())
            .await
            .unwrap();
    }

    /// The next request's head and body, from the open connection or a new one.
    async fn request(&mut self) -> (String, Vec<u8>) {
        loop {
            if self.connection.is_none() {
                let (stream, _) = self.listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                self.connection = Some(BufReader::new(stream));
            }
            let connection = self.connection.as_mut().unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if connection.read_line(&mut head).await.unwrap() == 0 {
                    break;
                }
            }
            if head.is_empty() {
                self.connection = None;
                continue;
            }
            let body = read_body(&head, connection).await;
            if !head.contains("/extension/") {
                return (head, body);
            }
            // The extension registers, and then asks for its next event, which it may do on the same connection.
            let mut connection = self.connection.take().unwrap();
            if head.contains("/extension/register") {
                let registered = connection.get_mut().write_all(REGISTERED.as_bytes());
                registered.await.unwrap();
            }
            self.held.push(connection);
        }
    }
}

async fn read_body(head: &str, connection: &mut BufReader<TcpStream>) -> Vec<u8> {
    let lower = head.to_ascii_lowercase();
    let header = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name));
    if let Some(length) = header("content-length: ") {
        let mut body = vec![0; length.trim().parse().unwrap()];
        connection.read_exact(&mut body).await.unwrap();
        return body;
    }
    let mut body = Vec::new();
    if header("transfer-encoding: chunked").is_some() {
        loop {
            let mut size = String::new();
            connection.read_line(&mut size).await.unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            connection.read_exact(&mut chunk).await.unwrap();
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    body
}
