"""Who calls: a fresh person every other second, because the calls also delete accounts and change passwords; each call from an address of
its own, because failures and sign-ups are limited for each address."""

import itertools
import os
import unicodedata

import requests
import schemathesis

GATEWAY = os.environ["MUSICWALLET_GATEWAY"]
# Where accounts is, if a service behind the gateway is called: it wants an assertion instead of a token.
ACCOUNTS = os.environ.get("MUSICWALLET_ACCOUNTS")
# The first two numbers of the addresses of this run: others call the same gateway.
NETWORK = os.environ["MUSICWALLET_NETWORK"]
PASSWORD = "seven brave otters sing"
addresses = itertools.count(1)
people = itertools.count(1)


def from_somewhere():
    number = next(addresses)
    address = f"{NETWORK}.{number >> 8 & 255}.{number & 255}"
    return {"x-client-address": address} if ACCOUNTS else {"x-forwarded-for": address}


def post(url, body):
    headers = {"x-forwarded-for": from_somewhere().popitem()[1]}
    answer = requests.post(url, json=body, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers = case.headers or {}
    case.headers.update(from_somewhere())


@schemathesis.hook
def filter_case(context, case):
    """A long text that is shorter without the space around it and with its accents composed may be one that is accepted: it is counted like
    that, and JSON Schema cannot say so."""
    given = [case.query, case.body]
    texts = [text for it in given if isinstance(it, dict) for text in it.values() if isinstance(text, str)]
    return all(len(text) < 100 or text == unicodedata.normalize("NFC", text.strip()) for text in texts)


@schemathesis.auth(refresh_interval=2)
class Person:
    def get(self, case, context):
        name = f"person{next(people)}.{os.getpid()}"
        who = {"username": name, "password": PASSWORD}
        post(f"{GATEWAY}/api/users/", who | {"email": f"{name}@example.org"})
        authorization = "Token " + post(f"{GATEWAY}/api-token-auth/", who)["token"]
        if ACCOUNTS:
            exchanged = post(f"{ACCOUNTS}/credentials/exchange", {"authorization": authorization})
            authorization = "Bearer " + exchanged["assertion"]
        return authorization

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["authorization"] = data
