"""when somebody last logged in, kept with the account: lists are sorted by it"""

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("last_login_at", UTCDateTime(), nullable=True))
    op.execute(
        "UPDATE users SET last_login_at ="
        " (SELECT max(auth_time) FROM browser_sessions WHERE browser_sessions.user_id = users.id)"
    )


def downgrade() -> None:
    op.drop_column(
        "users", "last_login_at"
    )  # not by the batch, which makes a table anew that others refer to
