"""the last login of who never logged in, so that an index has everybody in the order of lists"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEX = "ix_users_company_id_last_login_at"
NEVER = sa.text("'1970-01-01 00:00:00.000000'")
users = sa.table("users", sa.column("last_login_at"), sa.column("replacement"))


def upgrade() -> None:
    column: sa.Column[Any] = sa.Column("replacement", UTCDateTime(), server_default=NEVER, nullable=False)
    _replace(column, sa.func.coalesce(users.c.last_login_at, NEVER))
    op.create_index(INDEX, "users", ["company_id", "last_login_at", "id"])


def downgrade() -> None:
    op.drop_index(INDEX, table_name="users")
    column: sa.Column[Any] = sa.Column("replacement", UTCDateTime(), nullable=True)
    _replace(column, sa.func.nullif(users.c.last_login_at, NEVER))


def _replace(column: sa.Column[Any], values: Any) -> None:
    """Put the column in the other's place: SQLite alters none without making the whole table anew."""
    op.add_column("users", column)
    op.execute(users.update().values(replacement=values))
    op.drop_column("users", "last_login_at")
    op.execute("ALTER TABLE users RENAME COLUMN replacement TO last_login_at")
