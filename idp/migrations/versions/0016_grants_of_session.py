"""the clients that a session reached, in an index: Mina uppgifter names them"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

OLD, NEW = "ix_grants_session_id", "ix_grants_session_id_client_id"


def upgrade() -> None:
    op.create_index(NEW, "grants", ["session_id", "client_id"])
    op.drop_index(OLD, table_name="grants")


def downgrade() -> None:
    op.create_index(OLD, "grants", ["session_id"])
    op.drop_index(NEW, table_name="grants")
