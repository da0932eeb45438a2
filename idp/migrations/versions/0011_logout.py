"""relying apps that have yet to hear of a logout"""

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logout_notices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("queued_at", UTCDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logout_notices")),
    )
    with op.batch_alter_table("logout_notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_logout_notices_client_id"), ["client_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_logout_notices_next_attempt_at"), ["next_attempt_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("logout_notices", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_logout_notices_next_attempt_at"))
        batch_op.drop_index(batch_op.f("ix_logout_notices_client_id"))

    op.drop_table("logout_notices")
