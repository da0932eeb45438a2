"""mails in order of urgency, not sent when they are of no use any more, and why one was given up"""

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

WAITING = sa.text("next_attempt_at IS NOT NULL")
COLUMNS = ("failure", "useful_until", "urgency")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("urgency", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("outbox", sa.Column("useful_until", UTCDateTime(), nullable=True))
    op.add_column("outbox", sa.Column("failure", sa.String(length=200), nullable=True))
    op.drop_index("ix_outbox_next_attempt_at", table_name="outbox")
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["urgency", "next_attempt_at"],
        postgresql_where=WAITING,
        sqlite_where=WAITING,
    )
    op.create_index("ix_outbox_user_id", "outbox", ["user_id"])


def downgrade() -> None:
    op.drop_index("ix_outbox_user_id", table_name="outbox")
    op.drop_index("ix_outbox_waiting", table_name="outbox")
    op.create_index("ix_outbox_next_attempt_at", "outbox", ["next_attempt_at"])
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        for column in COLUMNS:
            batch_op.drop_column(column)
