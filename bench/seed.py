"""A database with a year behind it: people, sessions, grants, tokens and audit events, never purged."""

import psycopg

COMPANY = "Bench i drift AB"
DAYS = 365
PER_SESSION = 10  # grants
PER_USER = 10  # sessions

# Everybody has a share of it, whoever is measured too. Of the refresh tokens the last 30 days' are in force.
# Nobody can log in by it: no handle, code or token is known whose hash is stored.
_FILL = """
CREATE TEMP TABLE numbered AS SELECT row_number() OVER () - 1 AS number, id FROM users;

INSERT INTO browser_sessions
    (id, handle_hash, user_id, method, acr, amr, auth_time, created_at, seen_at, expires_at)
SELECT gen_random_uuid(), md5(s::text) || md5('handle' || s), numbered.id, 'password', 'password', '["pwd"]',
    began, began, began + interval '1 hour', began + interval '10 hours'
FROM generate_series(1, %(sessions)s) s
CROSS JOIN LATERAL (SELECT now() - %(days)s * interval '1 day' * (1 - s::float / %(sessions)s) AS began) t
JOIN numbered ON numbered.number = s %% (SELECT count(*) FROM numbered);

INSERT INTO grants (id, client_id, user_id, session_id, scope, redirect_uri, nonce, code_hash, code_challenge,
    code_expires_at, code_used_at, acr, amr, auth_time, method, offline, created_at)
SELECT gen_random_uuid(), 'bench', user_id, id, 'openid profile email offline_access', 'http://127.0.0.1:9/cb',
    'nonce', md5(id::text || g) || md5('code' || g || id), left(md5(id::text) || md5(g::text), 43),
    at + interval '1 minute', at, acr, amr, auth_time, method, true, at
FROM browser_sessions
CROSS JOIN generate_series(1, %(per_session)s) g
CROSS JOIN LATERAL (SELECT created_at + g * interval '10 minutes' AS at) t
ORDER BY at;

INSERT INTO access_tokens (token_hash, grant_id, scope, issued_at, expires_at)
SELECT md5(id::text) || md5('access' || id), id, scope, created_at, created_at + interval '10 minutes'
FROM grants
ORDER BY created_at;

INSERT INTO refresh_tokens (token_hash, grant_id, issued_at, expires_at, ends_at)
SELECT md5(id::text) || md5('refresh' || id), id, created_at, created_at + interval '30 days',
    created_at + interval '180 days' FROM grants
ORDER BY created_at;

INSERT INTO audit_events (at, event, actor, user_id, client_id, session_id, address, detail)
SELECT created_at, 'login.succeeded', 'user', user_id, client_id, session_id, '192.0.2.1',
    '{"method": "password"}'
FROM grants
ORDER BY created_at;
"""

_PEOPLE = """
WITH company AS (
    INSERT INTO companies (id, name, created_at) VALUES (gen_random_uuid(), %(company)s, now()) RETURNING id
)
INSERT INTO users
    (id, company_id, email, email_key, name, name_key, role, locale, status, notices, created_at, updated_at)
SELECT gen_random_uuid(), company.id, address, address, 'Person ' || u, 'person ' || u, 'user', 'sv',
    'active', true, now(), now()
FROM company, generate_series(1, %(people)s) u, LATERAL (SELECT 'used-' || u || '@example.se' AS address) t
"""


def fill(database_url: str, *, grants: int) -> None:
    """Add so many grants, each with an access and a refresh token and an audit event, and whose they were."""
    sessions = grants // PER_SESSION
    with psycopg.connect(database_url) as connection, psycopg.ClientCursor(connection) as cursor:
        cursor.execute(_PEOPLE, {"company": COMPANY, "people": sessions // PER_USER})
        cursor.execute(_FILL, {"sessions": sessions, "days": DAYS, "per_session": PER_SESSION})
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def note_logins(database_url: str) -> None:
    """Let most people have logged in some time, so that they can be sorted by it."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE users SET last_login_at = now() - random() * interval '90 days' WHERE random() < 0.9"
        )
